"""Every topic can be subscribed to, every name can stand in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspector.errors import SettingsError
from edge_inspector.wire.topics import COMMANDS, DEFAULT_ROOT, TOPICS, Topic, check_name, check_root, topic_of

EVENTS = {"result", "image/thumb", "event", "ack"}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_row_of_the_contract_makes_sense(topic: Topic) -> None:
    """A name that can be published to, a quality of service that is used, and what an integrator must know."""
    assert check_root(topic.name) == topic.name
    assert topic.qos in (0, 1)
    assert topic.payload
    assert topic.when
    assert topic_of(topic.name) is topic
    assert not topic.name.startswith("cmd")


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_what_is_true_now_is_retained_and_what_happened_is_not(topic: Topic) -> None:
    """A late joiner sees the state, and never takes an old event for a new one; a retained heartbeat would lie."""
    assert topic.retain == (topic.name not in EVENTS | {"plc/heartbeat"})


def test_no_topic_is_listed_twice() -> None:
    """And no command is called twice."""
    names = [topic.name for topic in TOPICS]

    assert len(set(names)) == len(names)
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize("name", ["st1", "a.b", "Zelle-ä", "A_b;c", "x" * 64, "日本"])
def test_an_ordinary_name_is_allowed(name: str) -> None:
    """Letters of any language, digits, dots inside, dashes."""
    assert check_name(name, "station") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        ".hidden",
        "..",
        "a b",
        "a\tb",
        "a\nb",
        "a/b",
        "a+",
        "#",
        "$SYS",
        "a\0",
        "a\x7f",
        "a\u2028b",
        "\xa0",
        "\ud800",
        "a\u202eb",
    ],
    ids=ascii,
)
def test_a_name_that_would_break_topics_or_paths_is_refused(name: str) -> None:
    """Wildcards, separators, control characters, hidden folders: the message shows the name and the rule."""
    with pytest.raises(SettingsError, match=r"station .*: expected 1 to 64 characters"):
        check_name(name, "station")


@given(name=st.text(max_size=80))
def test_an_allowed_name_is_one_level_of_a_topic_and_one_part_of_a_path(name: str) -> None:
    """Whatever is let through can be published to and made a folder of."""
    try:
        check_name(name, "station")
    except SettingsError:
        return

    assert name
    assert name not in (".", "..")
    assert not set(name) & set("/+#$\0\n\r\t ")


@pytest.mark.parametrize("root", [DEFAULT_ROOT, "acme/porto/press/line3", "one"])
def test_any_unified_namespace_path_is_a_root(root: str) -> None:
    """A plant's own tree."""
    assert check_root(root) == root


@pytest.mark.parametrize("root", ["", "/acme", "acme/", "acme//line", "acme/#", "acme/line 3"])
def test_a_root_with_a_bad_level_is_refused(root: str) -> None:
    """Empty levels and wildcards."""
    with pytest.raises(SettingsError, match="topic root level"):
        check_root(root)
