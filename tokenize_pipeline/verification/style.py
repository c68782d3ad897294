"""How the report looks. Light or dark as the reader's device is set, from phone to wide screen."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f5f2; --card: #ffffff; --ink: #1c1b22; --soft: #66636f; --line: #dfdce4;
  --accent: #8a2a6b; --good: #1d7048; --bad: #b3261e; --track: #ece9f0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131218; --card: #1d1b24; --ink: #eceaf1; --soft: #a19dad; --line: #35323f;
    --accent: #f0856a; --good: #6fcf97; --bad: #ff8a80; --track: #2b2833;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main, header, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
footer { padding-bottom: 2.5rem; color: var(--soft); font-size: .875rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.015em; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0 .9rem; max-width: 44rem; }
.soft { color: var(--soft); }
.place { overflow-wrap: anywhere; }
td.place { min-width: 12rem; }
td, tbody th { vertical-align: top; }
.verdict {
  display: inline-block; margin: .6rem 0 0; padding: .25rem .8rem; border-radius: 99px;
  border: 1.5px solid currentColor; font-weight: 600;
}
.verdict.good { color: var(--good); }
.verdict.bad { color: var(--bad); }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; padding: 0;
}
.figures div, .example, .book {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
}
.figures div { padding: .8rem 1rem; display: flex; flex-direction: column-reverse; }
.figures div { justify-content: flex-end; }
.figures dt { color: var(--soft); font-size: .875rem; }
.figures dd { margin: 0; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.figures small { font-size: .9rem; font-weight: 400; color: var(--soft); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 12px; }
table { border-collapse: collapse; width: 100%; background: var(--card); }
caption { text-align: left; color: var(--soft); font-size: .875rem; padding: .6rem 1rem; }
caption { background: var(--card); border-bottom: 1px solid var(--line); }
th, td { text-align: left; padding: .5rem 1rem; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .875rem; }
tbody th { font-weight: 500; white-space: nowrap; }
tbody th small { display: block; color: var(--soft); font-weight: 400; font-size: .8125rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.past { color: var(--bad); font-weight: 650; }
.example { padding: 1rem 1.1rem 1.1rem; margin: 0 0 1rem; }
.name { display: flex; flex-wrap: wrap; gap: .2rem .75rem; }
.tag { color: var(--accent); font-weight: 600; }
.scores { margin: .15rem 0 .8rem; color: var(--soft); font-size: .875rem; max-width: none; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1.1rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .875rem; font-weight: 600; margin-bottom: .3rem; }
figure img {
  display: block; width: 100%; height: 8.5rem; border-radius: 8px; background: #0d0b1f;
}
audio { display: block; width: 100%; height: 2.5rem; margin-top: .6rem; }
.books { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .75rem; }
.book { padding: .8rem .9rem; }
svg { display: block; width: 100%; fill: var(--accent); }
svg line { stroke: var(--ink); stroke-width: .8; stroke-dasharray: 2 1.5; }
.book svg { height: 4rem; margin: .4rem 0 .5rem; }
.book .ends { display: flex; justify-content: space-between; margin-top: -.3rem; }
.wide { margin: 0 0 1rem; }
.wide svg { height: 5rem; border-bottom: 1px solid var(--line); }
figure svg { height: 3.2rem; margin-bottom: .35rem; }
figure:last-child svg { fill: var(--soft); }
.book p { margin: .1rem 0 0; font-size: .875rem; color: var(--soft); }
meter { display: block; width: 100%; height: .5rem; margin: .35rem 0 0; }
meter { appearance: none; background: var(--track); border: 0; border-radius: 99px; }
meter::-webkit-meter-inner-element { display: block; }
meter::-webkit-meter-bar {
  background: var(--track); border: 0; border-radius: 99px; height: .5rem;
}
meter::-webkit-meter-optimum-value { background: var(--accent); border-radius: 99px; }
meter::-moz-meter-bar { background: var(--accent); border-radius: 99px; }
.pairs { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin: 0; }
.pairs dt { color: var(--soft); }
.pairs dd { margin: 0; overflow-wrap: anywhere; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--accent); }
.pairs + .scroll { margin-top: 1rem; }
.scroll + p { margin-top: .8rem; }
pre {
  overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .9rem 1rem; font-size: .8125rem;
}
@media (max-width: 34rem) {
  h1 { font-size: 1.5rem; }
  th, td { padding: .45rem .6rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  .figures dd { font-size: 1.25rem; }
}
"""
