"""The look of the report: one style sheet, for light and dark, for screen and paper."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;--ground:#fff;--text:#1d2129;--soft:#5d6673;--line:#dde1e7;
--block:#f5f6f8;--good:#1c7f4e;--bad:#c0392b;--link:#2a62b8}
@media (prefers-color-scheme:dark){:root{--ground:#15181d;--text:#dfe3ea;--soft:#98a2b0;
--line:#2f353e;--block:#1d2128;--good:#4cc38a;--bad:#ff7b6b;--link:#86b3ff}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--ground);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
.page{display:grid;grid-template-columns:13rem minmax(0,60rem);gap:2.5rem;
max-width:78rem;margin:0 auto;padding:2rem 1.5rem 5rem}
nav{position:sticky;top:1.5rem;align-self:start;max-height:calc(100vh - 3rem);overflow:auto;
font-size:.9rem}
nav ol{list-style:none;margin:0;padding:0}nav ol ol{padding-left:.9rem;margin-bottom:.4rem}
nav li{margin:.15rem 0}nav .head{font-weight:600;margin-bottom:.5rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.45rem;margin:3rem 0 .8rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1.15rem;margin:2.4rem 0 .5rem}h4{font-size:.98rem;margin:0 0 .5rem}
p{margin:.5rem 0}.lead{color:var(--soft);font-size:1.05rem}
.note{color:var(--soft);font-size:.88rem}
code,pre,.id{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.86em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.8rem;
margin:1.4rem 0}
.tiles div{background:var(--block);border:1px solid var(--line);border-radius:8px;
padding:.7rem .9rem}
.tiles b{display:block;white-space:nowrap;font-size:1.25rem;
font-weight:600;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:.85rem}
.panel{margin:1.4rem 0}
svg{display:block;width:100%;max-width:720px;height:auto}
svg .box{fill:var(--ground)}
svg .edge{font-size:11px;paint-order:stroke;stroke:var(--ground);stroke-width:4px;fill:var(--soft)}
.scroll{overflow-x:auto;max-width:100%;margin:.4rem 0}
table{border-collapse:collapse;font-size:.88rem;min-width:50%}
th,td{padding:.32rem .75rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);
max-width:34rem;overflow-wrap:break-word}
th{font-weight:600;color:var(--soft);white-space:nowrap}
td{min-width:3.5rem}
tbody tr:hover{background:var(--block)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
details{margin:.5rem 0}summary{cursor:pointer;overflow-wrap:anywhere}
.more>summary{color:var(--link);font-size:.92rem}
.sample{border:1px solid var(--line);border-radius:8px;padding:.45rem .8rem}
.sample summary{font-weight:600;font-size:.92rem}
.facts{color:var(--soft);font-size:.84rem;overflow-wrap:anywhere}
.facts span{margin-right:1rem}.facts b{font-weight:500;color:var(--text)}
pre{background:var(--block);border-radius:6px;padding:.7rem .9rem;margin:.5rem 0;overflow:auto;
max-height:24rem;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
@media (max-width:60rem){.page{display:block;padding:1.2rem 1rem 3rem}
nav{position:static;max-height:none;margin-bottom:2rem;background:var(--block);padding:1rem;
border-radius:8px}nav ol{columns:2}nav ol ol{columns:1}}
@media print{nav{display:none}.page{display:block}pre{max-height:none}}
"""
