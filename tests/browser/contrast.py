"""Contrast of every text of a page with what lies behind it, as WCAG 2.2 defines it."""

from dataclasses import dataclass

from playwright.sync_api import Page

COLLECT = """() => {
  const seen = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const unseen = !element.getClientRects().length || ['title', 'desc'].includes(element.tagName);
    if (!node.data.trim() || unseen) continue;
    const style = getComputedStyle(element);
    const text = rgba(element instanceof SVGElement ? style.fill : style.color);
    let behind = element;
    while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
    const back = rgba(behind ? getComputedStyle(behind).backgroundColor : 'white');
    seen.set(JSON.stringify([text, back]), [text, back, node.data.trim().slice(0, 40)]);
  }
  return [...seen.values()];
}"""
"""One sample of each pair of colours; of an element without a background, its nearest ancestor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A text colour on a background."""

    ratio: float
    sample: str


def pairs(page: Page) -> list[Pair]:
    """Return every pair of colours of the page."""
    return [
        Pair(ratio=ratio(tuple(text[:3]), tuple(back[:3])), sample=sample)
        for text, back, sample in page.evaluate(COLLECT)
    ]


def ratio(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return (L1 + 0.05) / (L2 + 0.05), L1 the lighter one's relative luminance (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[int, ...]) -> float:
    """Return 0.2126 R + 0.7152 G + 0.0722 B of linearised sRGB."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
