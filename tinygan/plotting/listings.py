"""Two pieces of source beside each other, in a notebook."""

import html


def side_by_side(left: str, right: str, titles: tuple[str, str] = ("yours", "tinygan")) -> None:
    """Show two texts in two columns as the output of a notebook's cell; where there is no HTML, one after the other."""
    from IPython.display import display

    texts = (left.strip("\n"), right.strip("\n"))
    heads = "".join(f'<th style="text-align: left">{html.escape(title)}</th>' for title in titles)
    cell = '<td style="text-align: left; vertical-align: top"><pre style="white-space: pre-wrap">{}</pre></td>'
    cells = "".join(cell.format(html.escape(text)) for text in texts)
    plain = "\n\n".join(f"--- {title} ---\n{text}" for title, text in zip(titles, texts, strict=True))
    bundle = {"text/plain": plain, "text/html": f"<table><tr>{heads}</tr><tr>{cells}</tr></table>"}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]
