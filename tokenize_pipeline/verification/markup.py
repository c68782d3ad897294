"""Pieces of HTML that the report is built of. Texts are escaped here; bodies are finished HTML."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

_NUMBER = ' class="number"'


def page(title: str, css: str, header: str, body: str, footer: str) -> str:
    """A whole page that loads nothing from anywhere."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>{css}</style>\n</head>\n<body>\n<header>\n{header}\n</header>\n"
        f"<main>\n{body}</main>\n<footer>{footer}</footer>\n</body>\n</html>\n"
    )


def section(title: str, *body: str) -> str:
    """A part of the page under its own heading."""
    anchor = title.lower().replace(" ", "-")
    heading = f'<h2 id="{anchor}">{title}</h2>'
    content = "\n".join(part for part in body if part)
    return f'<section aria-labelledby="{anchor}">\n{heading}\n{content}\n</section>\n'


def note(text: str) -> str:
    """A paragraph that explains."""
    return f'<p class="soft">{escape(text)}</p>'


def definitions(pairs: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    items = (f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs.items())
    return f'<dl class="pairs">{"".join(items)}</dl>'


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of finished cells; a heading that begins with # stands over numbers."""
    headings = "".join(
        f'<th scope="col"{_NUMBER if title[0] == "#" else ""}>{escape(title.lstrip("#"))}</th>'
        for title in header
    )
    lines = "".join(f"<tr>{''.join(row)}</tr>\n" for row in rows)
    name = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<caption>{name}</caption><thead><tr>{headings}</tr></thead>\n"
        f"<tbody>{lines}</tbody></table></div>"
    )


def heading_cell(text: str, detail: str = "") -> str:
    """The cell that names its row, with a word about it."""
    small = f" <small>{escape(detail)}</small>" if detail else ""
    return f'<th scope="row">{escape(text)}{small}</th>'


def text_cell(text: str) -> str:
    """A cell of text that may be long."""
    return f'<td class="place">{escape(text)}</td>'


def number_cell(text: str, *, past: bool = False) -> str:
    """A cell with a figure, marked if it is past its limit."""
    return f'<td class="number past">{text}</td>' if past else f"<td{_NUMBER}>{text}</td>"
