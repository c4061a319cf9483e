from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboard.plain_text import escaped


def test_markup_of_other_people_is_shown_as_they_wrote_it():
    assert escaped("*bold* [link](http://x) $x$ :red[y]") == r"\*bold\* \[link\]\(http\://x\) \$x\$ \:red\[y\]"


def test_text_stays_on_one_line():
    assert escaped(" a\n# b\t ") == r"a \# b"


@given(st.text(alphabet="a b*_`[]()<>#+-.!|~$:\\{}\n", max_size=30))
def test_nothing_but_text_comes_out_of_markdown(text):
    tokens = MarkdownIt().parseInline(escaped(text))[0].children

    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == " ".join(text.split())
