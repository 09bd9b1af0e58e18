import stat
from html.parser import HTMLParser

import pytest

from litellm_hub.people.printed import print_all, section
from litellm_hub.people.register import Register, hand_out


@pytest.fixture
def register(tmp_path):
    made = Register()
    made.take([{"name": "anna", "team": "a"}, {"name": "ben", "team": "a"}], [])
    people, _ = made.members("1")
    databases = dict.fromkeys(people, "postgresql://p_1:secret@127.0.0.1:5433/litellm")
    hand_out(tmp_path, people, made.keys, databases, "http://127.0.0.1:4100", "phi")
    return made


def test_a_sheet_for_each_person_is_written_once_for_its_owner_alone(register, tmp_path):
    assert print_all(tmp_path, ["anna", "ben"]) == ["write all.html"]
    assert print_all(tmp_path, ["anna", "ben"]) == []
    page = tmp_path / "all.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    assert text.count("<section>") == 2
    assert "break-after: page" in text
    assert all(key in text for key in register.keys.values())


def test_it_ends_with_the_last_of_its_people(register, tmp_path):
    print_all(tmp_path, ["anna", "ben"])
    assert print_all(tmp_path, ["ben"]) == ["write all.html"]
    assert register.keys["anna"] not in (tmp_path / "all.html").read_text()
    assert print_all(tmp_path, []) == ["remove all.html"]
    assert not (tmp_path / "all.html").exists()
    assert print_all(tmp_path, []) == []


def test_code_keeps_its_lines_and_nothing_is_taken_for_html():
    made = section("# anna\n\nSay `pip install <x>` & go:\n\n    from a import b\n    print('<b>')\n")
    assert "<h1>anna</h1>" in made
    assert "<code>pip install &lt;x&gt;</code> &amp; go:" in made
    assert "<pre>from a import b\nprint(&#x27;&lt;b&gt;&#x27;)</pre>" in made
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(made)
    assert tags == ["section", "h1", "p", "code", "pre"]
