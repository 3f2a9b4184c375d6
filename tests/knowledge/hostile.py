"""Files that mean harm, or might as well, each made when it is needed: what it is, its name, its content, and what becomes of it."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MB = 2**20
ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
LAUGHS = (
    "<!DOCTYPE x [<!ENTITY l0 'ha'>"
    + "".join(f"<!ENTITY l{level} '{f'&l{level - 1};' * 10}'>" for level in range(1, 10))
    + "]><svg xmlns='http://www.w3.org/2000/svg'><text>&l9;</text></svg>"
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """`refused` is a part of the reason; without one the file is in fact harmless, and `said` stands in what was read of it."""

    what: str
    filename: str
    content: Callable[[], bytes]
    refused: str = ""
    said: str = ""


def archive(parts: Mapping[str, bytes | str], *, mimetype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        if mimetype is not None:
            file.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


def docx(document: bytes | str = "<w:document/>", **more: bytes | str) -> bytes:
    return archive({"[Content_Types].xml": "<Types/>", "word/document.xml": document, **more})


def paragraphs(inner: str, before: str = "") -> str:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<?xml version="1.0"?>{before}<w:document xmlns:w="{space}"><w:body>{inner}</w:body></w:document>'


def bomb_in_docx() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        with file.open("word/document.xml", "w") as part:
            for _ in range(60):
                part.write(bytes(MB))
    return buffer.getvalue()


def lying(content: bytes, name: bytes = b"word/document.xml") -> bytes:
    """The directory says that the part is of ten bytes."""
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    return content[: at + 24] + struct.pack("<L", 10) + content[at + 28 :]


def flagged(content: bytes, offset: int, value: int, name: bytes = b"word/document.xml") -> bytes:
    """With another flag or method in the directory."""
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(name))
    return content[: at + offset] + struct.pack("<H", value) + content[at + offset + 2 :]


def overlapping() -> bytes:
    """Each of 2,000 parts is said to be the same megabyte."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    plain = bytes(MB)
    data = packed.compress(plain) + packed.flush()
    name = b"word/document.xml"
    header = struct.pack("<LHHHHHLLLHH", 0x04034B50, 20, 0, 8, 0, 0, zlib.crc32(plain), len(data), len(plain), len(name), 0) + name
    directory = b""
    for number in range(2000):
        entry = name if number == 0 else b"word/part%04d.bin" % number
        directory += struct.pack(
            "<LHHHHHHLLLHHHHHLL", 0x02014B50, 20, 20, 0, 8, 0, 0, zlib.crc32(plain), len(data), len(plain), len(entry), 0, 0, 0, 0, 0, 0
        )
        directory += entry
    end = struct.pack("<LHHHHLLH", 0x06054B50, 0, 0, 2000, 2000, len(directory), len(header) + len(data), 0)
    return header + data + directory + end


def pdf(*objects: bytes, root: int = 1, trailer: bytes = b"") -> bytes:
    """A file of these objects, numbered from 1, with a table of where they are."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places: list[int] = []
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<</Size %d /Root %d 0 R %s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, trailer, table))
    return out.getvalue()


CATALOG = b"<</Type /Catalog /Pages 2 0 R>>"
PAGES = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
FONT = b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"


def page(contents: bytes = b"4 0 R", parent: bytes = b"2 0 R") -> bytes:
    return b"<</Type /Page /Parent %s /MediaBox [0 0 99 99] /Contents %s /Resources <</Font <</F 5 0 R>>>>>>" % (parent, contents)


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<</Length %d %s>>\nstream\n%s\nendstream" % (len(data), more, data)


def one_page(contents: bytes, more: bytes = b"", font: bytes = FONT, trailer: bytes = b"") -> bytes:
    return pdf(CATALOG, PAGES, page(), stream(contents, more), font, trailer=trailer)


HELLO = b"BT /F 12 Tf 9 9 Td (Hello there) Tj ET"


def deflated(data: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        data = zlib.compress(data, 9)
    return one_page(data, b"/Filter [%s]" % (b"/FlateDecode " * times))


def many_pages(count: int) -> bytes:
    kids = b" ".join(b"%d 0 R" % number for number in range(5, 5 + count))
    pages = b"<</Type /Pages /Kids [%s] /Count %d>>" % (kids, count)
    return pdf(CATALOG, pages, b"null", stream(HELLO), *[page() for _ in range(count)])


def deep_pages(depth: int) -> bytes:
    nodes = [b"<</Type /Pages /Kids [%d 0 R] /Count 1>>" % number for number in range(3, 3 + depth)]
    return pdf(CATALOG, *nodes, b"<</Type /Page /Parent %d 0 R>>" % (1 + depth))


def encrypted() -> bytes:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(99, 99)
    writer.encrypt("secret", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def wide_font() -> bytes:
    cmap = (
        b"1 begincodespacerange <0000> <ffff> endcodespacerange\n100 beginbfrange\n" + b"<0000> <ffffffff> <0000>\n" * 100 + b"endbfrange"
    )
    font = b"<</Type /Font /Subtype /Type0 /BaseFont /F /ToUnicode 6 0 R>>"
    return pdf(CATALOG, PAGES, page(), stream(HELLO), font, stream(cmap))


def nested(inner: str, depth: int) -> str:
    return f'{{"{inner}": ' * depth + "1" + "}" * depth


TEXTS = [
    Hostile("nothing", "a.txt", bytes, "is empty"),
    Hostile("nothing that is said to be PDF", "a.pdf", bytes, "is empty"),
    Hostile("blanks", "a.txt", lambda: b" \n\t" * 1000, "no text"),
    Hostile("zeros", "a.txt", lambda: bytes(10_000), "no text in UTF-8"),
    Hostile("a zero within text", "a.md", lambda: b"# Title\n\ntext\0text", "no text in UTF-8"),
    Hostile("random bytes", "a.txt", lambda: bytes(range(256)) * 400, "no text in UTF-8"),
    Hostile("half of a letter in UTF-16", "a.txt", lambda: "text".encode("utf-16")[:-1], "no text in UTF-8"),
    Hostile("surrogates alone in UTF-16", "a.txt", lambda: b"\xff\xfea\0\x00\xd8b\0", "no text in UTF-8"),
    Hostile("overlong and broken UTF-8", "a.txt", lambda: b"plain \xc0\xaf\xc0\xaf \xf8\x88\x80\x80\x80 text", "", "plain"),
    Hostile("one line too long for the bound", "a.txt", lambda: b"x" * (2 * MB), "more text"),
    Hostile("a text far too long", "a.txt", lambda: b"word " * MB, "more text"),
    Hostile("controls of a terminal", "a.log", lambda: b"\x1b[2J\x1b]0;owned\x07 ok " + b"fine " * 100, "", "fine"),
    Hostile("a hundred thousand headings", "a.md", lambda: b"# a\n" * 200_000, "more text"),
    Hostile("quotes within quotes", "a.md", lambda: b">" * 300_000 + b" deep", "", "deep"),
    Hostile("brackets that never close", "a.md", lambda: b"[" * 300_000 + b"end", "", "end"),
    Hostile("fences that never close", "a.md", lambda: b"```\n# no heading\n" * 1001 + b"end", "", "end"),
    Hostile("billion laughs as XML", "laughs.xml", LAUGHS.encode, "", "&l9;"),
    Hostile("billion laughs as SVG", "laughs.svg", LAUGHS.encode, "", "&l9;"),
    Hostile("a name that leads out", "../../../etc/passwd.txt", lambda: b"harmless", "", "harmless"),
    Hostile("a name with zeros and newlines", "a\0b\n/c\\..\\d.md", lambda: b"harmless", "", "harmless"),
    Hostile("a name of ten thousand letters", "a" * 10_000 + ".txt", lambda: b"harmless", "", "harmless"),
    Hostile("a name that is a command", "; rm -rf / #$(id)`id`.csv", lambda: b"a,b\n1,2\n", "", "a: 1; b: 2"),
]
PAGES_OF_HTML = [
    Hostile("external entities in HTML", "a.html", f"{ENTITIES}<html><body>&f; &b; seen</body></html>".encode, "", "seen"),
    Hostile("billion laughs in HTML", "a.html", lambda: LAUGHS.encode() + b"<p>seen", "", "seen"),
    Hostile("nothing but a script", "a.html", lambda: b"<html><script>" + b"alert(1);" * 1000 + b"</script></html>", "no text"),
    Hostile("elements within elements", "a.html", lambda: b"<div>" * 150_000 + b"deep", "", "deep"),
    Hostile("comments that never close", "a.html", lambda: b"<p>seen</p>" + b"<!--" * 2000, "", "seen"),
    Hostile("tags that never close", "a.html", lambda: b"<p>seen</p>" + b"<a b='" * 2000, "", "seen"),
    Hostile("a hundred thousand attributes", "a.html", lambda: b"<p " + b"a=b " * 100_000 + b">seen", "", "seen"),
    Hostile("a charset that unpacks", "a.html", lambda: b"<meta charset=zlib_codec>\xff\xfe\xfd", "no text in UTF-8"),
    Hostile("references to no letters", "a.html", lambda: b"<p>&#0;&#xD800;&#99999999999; seen", "", "seen"),
]
TABLES = [
    Hostile("a cell of a million lines", "a.csv", lambda: b'a,b\n"' + b"x\n" * MB, "never closed"),
    Hostile("a hundred thousand columns", "a.csv", lambda: b",".join([b"c"] * 100_000) + b"\n1,2\n", "too many columns"),
    Hostile("a row of a hundred thousand columns", "a.csv", lambda: b"a,b\n" + b"1," * 100_000, "too many columns"),
    Hostile("names of columns that are said a thousand times", "a.csv", lambda: b"c" * 100_000 + b"\n" + b"1\n" * 1000, "more text"),
    Hostile("formulas", "a.csv", lambda: b'a,b\n=HYPERLINK("http://evil"),@SUM(1)\n', "", "a: =HYPERLINK"),
    Hostile("a table of zeros", "a.csv", lambda: b"a,b\n" + bytes(100), "no text in UTF-8"),
]
RECORDS = [
    Hostile("lists a hundred thousand deep", "a.json", lambda: b"[" * 100_000, "nested too deeply"),
    Hostile("objects five hundred deep", "a.json", lambda: nested("a", 500).encode(), "nested too deeply"),
    Hostile(
        "ways that are said a thousand times",
        "a.json",
        ("[" + nested("a" * 5000, 50)[:-51] + f" {list(range(50))}" + "}" * 50 + "]").encode,
        "more text",
    ),
    Hostile("a number of half a million digits", "a.json", lambda: b'{"n": ' + b"9" * 500_000 + b"}", "", "n: 999"),
    Hostile("half a letter as an escape", "a.json", lambda: b'{"a": "\\ud800 \\u0000 end"}', "", "end"),
    Hostile("JSON that is cut off", "a.json", lambda: b'{"a": [1, 2', "no valid JSON"),
    Hostile("lines of which one is broken", "a.jsonl", lambda: b'{"a": 1}\n{"b": \n{"c": 1}\n', "no valid JSON"),
    Hostile("constants that are no numbers", "a.json", lambda: b"[NaN, Infinity, 1e999999]", "", "1e999999"),
]
WRONG_TYPES = [
    Hostile("PDF that is said to be text", "a.txt", lambda: one_page(HELLO), "its content is PDF"),
    Hostile("text that is said to be PDF", "a.pdf", lambda: b"just text", "its content is text"),
    Hostile("a picture that is said to be Markdown", "a.md", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture"),
    Hostile("a picture", "a.png", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "not read .a picture"),
    Hostile("a program that is said to be DOCX", "a.docx", lambda: b"\x7fELF" + bytes(100), "a program"),
    Hostile("a packed bomb that is said to be text", "a.txt", lambda: gzip.compress(bytes(20 * MB)), "a compressed file"),
    Hostile("an old Office file", "a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "before 2007"),
    Hostile("RTF", "a.rtf", lambda: b"{\\rtf1 \\object}", "not read .RTF"),
    Hostile("an archive", "a.zip", lambda: archive({"a.txt": "text"}), "not read .a ZIP archive"),
    Hostile("DOCX that is said to be XLSX", "a.xlsx", docx, "its content is DOCX"),
    Hostile("HTML that is PDF as well", "a.html", lambda: b"<html><script>/*" + one_page(HELLO) + b"*/</script>", "its content is PDF"),
    Hostile("PDF that is an archive as well", "a.pdf", lambda: one_page(HELLO) + archive({"word/document.xml": "<x/>"}), "", "Hello there"),
]
PDFS = [
    Hostile("a header of PDF alone", "a.pdf", lambda: b"%PDF-1.7\n", "damaged"),
    Hostile("PDF that is cut off", "a.pdf", lambda: one_page(HELLO)[:150], "damaged"),
    Hostile("PDF without pages", "a.pdf", lambda: pdf(CATALOG, b"<</Type /Pages /Kids [] /Count 0>>"), "no text"),
    Hostile("PDF without text", "a.pdf", lambda: one_page(b"0 0 99 99 re f"), "pictures of text"),
    Hostile("PDF with a password", "a.pdf", encrypted, "password"),
    Hostile("a stream that unpacks to 90 MB", "a.pdf", lambda: deflated(bytes(90 * MB)), "far beyond|too much memory"),
    Hostile("streams within streams", "a.pdf", lambda: deflated(bytes(78 * MB), 3), "far beyond|too much memory"),
    Hostile(
        "a run of one letter",
        "a.pdf",
        lambda: one_page(b"\x81 " * MB + b"\x80", b"/Filter /RunLengthDecode"),
        "far beyond|too much memory|too long|no text",
    ),
    Hostile(
        "a page that is its own parent",
        "a.pdf",
        lambda: pdf(CATALOG, b"<</Type /Pages /Kids [2 0 R] /Count 1>>"),
        "damaged|too deeply|no text",
    ),
    Hostile("pages below pages", "a.pdf", lambda: deep_pages(3000), "far beyond|too deeply|damaged"),
    Hostile("a billion pages by its own word", "a.pdf", lambda: one_page(HELLO).replace(b"/Count 1", b"/Count 9"), "", "Hello there"),
    Hostile("more pages than are taken", "a.pdf", lambda: many_pages(300), "more pages"),
    Hostile("a table that follows itself", "a.pdf", lambda: one_page(HELLO, trailer=b"/Prev 9"), "", "Hello there"),
    Hostile(
        "a length that is the stream itself",
        "a.pdf",
        lambda: one_page(HELLO).replace(b"/Length 38", b"/Length 4 0 R"),
        "far beyond|damaged|too deeply",
    ),
    Hostile("operators without end", "a.pdf", lambda: deflated(HELLO * 150_000), "more text|too long|far beyond"),
    Hostile("brackets without end", "a.pdf", lambda: one_page(b"[" * 200_000), "damaged|too deeply|far beyond|no text|too long"),
    Hostile("a font of four billion letters", "a.pdf", wide_font, "far beyond|memory|too long|damaged|no text"),
    Hostile(
        "a command to be launched",
        "a.pdf",
        lambda: one_page(HELLO).replace(b"/Pages 2 0 R", b"/Pages 2 0 R /OpenAction <</S /Launch /F (/bin/sh)>>"),
        "",
        "Hello there",
    ),
]
DOCUMENTS = [
    Hostile("a bomb in DOCX", "a.docx", bomb_in_docx, "unpacks to far more"),
    Hostile("a bomb that lies about its size", "a.docx", lambda: lying(bomb_in_docx()), "damaged|unpacks"),
    Hostile("parts that overlap", "a.docx", overlapping, "unpacks to far more|damaged"),
    Hostile("twenty-one thousand parts", "a.docx", lambda: docx(**{f"p{number}": b"" for number in range(21_000)}), "unpacks to far more"),
    Hostile("a part that leads out", "a.docx", lambda: docx(**{"../../evil.xml": b"<x/>"}), "lead out"),
    Hostile("a part with the path of another system", "a.docx", lambda: docx(**{"c:\\evil.xml": b"<x/>"}), "lead out"),
    Hostile("an absolute part", "a.docx", lambda: docx(**{"/etc/evil.xml": b"<x/>"}), "lead out"),
    Hostile("external entities in DOCX", "a.docx", lambda: docx(paragraphs("<w:p/>", ENTITIES)), "XML entities"),
    Hostile("entities in DOCX in UTF-16", "a.docx", lambda: docx(paragraphs("<w:p/>", ENTITIES).encode("utf-16")), "XML entities"),
    Hostile(
        "entities in the relations of XLSX", "a.xlsx", lambda: archive({"xl/workbook.xml": "<x/>", "_rels/.rels": LAUGHS}), "XML entities"
    ),
    Hostile("entities in PPTX", "a.pptx", lambda: archive({"ppt/presentation.xml": LAUGHS}), "XML entities"),
    Hostile("entities in EPUB", "a.epub", lambda: archive({"a.opf": LAUGHS}, mimetype="application/epub+zip"), "XML entities"),
    Hostile("DOCX with a password", "a.docx", lambda: flagged(docx(), 8, 1), "password"),
    Hostile("an unknown way of packing", "a.docx", lambda: flagged(docx(), 10, 99), "damaged"),
    Hostile("DOCX that is cut off", "a.docx", lambda: docx()[:-30], "damaged"),
    Hostile(
        "DOCX of which one byte is another",
        "a.docx",
        lambda: docx("<a>" * 100).replace(b"[Content_Types].xml", b"[Content_Typex].xml", 1),
        "damaged",
    ),
]
ALL = [*TEXTS, *PAGES_OF_HTML, *TABLES, *RECORDS, *WRONG_TYPES, *PDFS, *DOCUMENTS]
IN_LIBRARIES = [
    Hostile("DOCX without anything in it", "a.docx", docx, "damaged"),
    Hostile(
        "elements of DOCX within each other",
        "a.docx",
        lambda: docx(paragraphs("<w:p>" * 20_000 + "</w:p>" * 20_000)),
        "damaged|too deeply|memory|too long",
    ),
]
"""These get as far as markitdown."""

assert json.loads(nested("a", 3)) == {"a": {"a": {"a": 1}}}
