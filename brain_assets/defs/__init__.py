"""Assets, checks, jobs and sensors, one module a group."""
