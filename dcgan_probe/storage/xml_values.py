"""XML written by annotation tools, parsed within limits."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError, XMLParser

from dcgan_probe.errors import InputError

# Elements and attributes; of whatever size, each takes some hundred bytes of memory at most.
MAX_VALUES = 2_000_000


def parse(text: str, source: str) -> Element:
    """The root element of XML text.

        >>> parse("<annotation><size><width>64</width></size></annotation>", "a.xml").tag
        'annotation'

    Raises InputError for XML that is broken, of more than 2 million elements and attributes, or has
    a document type: that could define entities, which expand without limit.
    """
    values = text.count("<") + text.count("=")
    if values > MAX_VALUES:
        raise InputError(
            f"{source}: found XML of about {values} values, expected at most {MAX_VALUES}"
        )
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(
            f"{source}: found HTML, or XML with a document type, expected XML of annotations"
        )
    parser = XMLParser()
    try:
        parser.feed(text)
        return parser.close()
    except (ParseError, ValueError) as error:
        raise InputError(
            f"{source}: found broken or cut-off XML ({error}), expected a whole XML file"
        ) from error
