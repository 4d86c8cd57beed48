"""How well texts of a page stand out, asked of the browser."""

from __future__ import annotations

# Texts that are seen whose contrast is below what WCAG asks (4.5; 3 for large ones), colours mixed
# as the browser would. What cannot be used now is excepted there, as it is here.
LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const paint = (...colours) => {
    canvas.fillStyle = '#fff'; canvas.fillRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const grounds = (node) => {
    const all = [];
    for (let at = node; at; at = at.parentElement) {
      all.unshift(getComputedStyle(at).backgroundColor);
    }
    return all;
  };
  const low = [];
  let looked = 0;
  const check = (element, text, style) => {
    looked += 1;
    const under = grounds(element);
    const found = ratio(paint(...under), paint(...under, style.color));
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (found < (large ? 3 : 4.5)) low.push([text, Number(found.toFixed(2))]);
  };
  for (const element of document.body.querySelectorAll('*')) {
    if (!element.checkVisibility() || element.closest('.unseen, .skip, noscript')) continue;
    if (element.disabled || element.closest('label')?.control?.disabled) continue;
    const own = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (own.length) check(element, own[0].data, getComputedStyle(element));
    if (element.placeholder && !element.value) {
      check(element, element.placeholder, getComputedStyle(element, '::placeholder'));
    }
    if (element.value && element.matches('input:not([type=checkbox], [type=range]), textarea')) {
      check(element, element.value, getComputedStyle(element));
    }
  }
  return { looked, low };
}"""
