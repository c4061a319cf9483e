-- Sends the prepared bodies of a folder in turn and counts the answers by status (a script for wrk).
--   wrk -s upload.lua URL -- FOLDER COUNT CONTENT_TYPE
-- The last line of the output is JSON: {"statuses": …, "requests": …, "duration_us": …, "p50_us": …, "p99_us": …, …}
local requests, sent, threads = {}, 0, {}
statuses = ""
local counts = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   local folder, count, content_type = args[1], tonumber(args[2]), args[3]
   local headers = {["Content-Type"] = content_type}
   for index = 0, count - 1 do
      local file = assert(io.open(string.format("%s/%04d", folder, index), "rb"))
      requests[index] = wrk.format("POST", nil, headers, file:read("*a"))
      file:close()
   end
end

function request()
   sent = sent + 1
   return requests[(sent - 1) % (#requests + 1)]
end

function response(status)
   counts[status] = (counts[status] or 0) + 1
   statuses = ""
   for code, count in pairs(counts) do
      statuses = statuses .. string.format('%s"%d": %d', statuses == "" and "" or ", ", code, count)
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"statuses": {%s}, "requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "lost": %d}\n',
      threads[1]:get("statuses"), summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      latency.max, errors.connect + errors.read + errors.write + errors.timeout))
end
