/** The style of the page of the API. */
export const STYLE = `
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #f3f5f8; --ink: #1b1f27; --paper: #fff;
  --dim: #566070; --link: #0b57c2; }
@media (prefers-color-scheme: dark) {
  :root { --line: #363c47; --soft: #1d2129; --ink: #e5e8ee; --paper: #13161b; --dim: #a3adbb;
    --link: #82b1ff; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; display: grid; grid-template-columns: 15rem minmax(0, 1fr);
  grid-template-areas: "head head" "nav main"; gap: 0 2rem; max-width: 76rem; padding: 0 1.5rem 4rem; }
header { grid-area: head; border-bottom: 1px solid var(--line); margin-bottom: 1rem; }
nav { grid-area: nav; position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto;
  padding: 1rem 0; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { padding: .15rem 0; overflow-wrap: anywhere; }
main { grid-area: main; }
h1 { margin: 1.2rem 0 .2rem; font-size: 1.7rem; }
h2 { margin: 2rem 0 .3rem; font-size: 1.3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
article { margin: 1.3rem 0; }
article p { margin: .3rem 0; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, pre:focus-visible { outline: 2px solid var(--link); }
code, pre { font: .87rem/1.5 ui-monospace, monospace; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem;
  margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid var(--line); }
summary { cursor: pointer; color: var(--dim); }
.method { display: inline-block; min-width: 4.2em; padding: 0 .4em; border-radius: 4px; color: #fff;
  background: #4a5568; font: 600 .78rem/1.7 ui-monospace, monospace; text-align: center; }
.get { background: #1d6f42; } .post { background: #0b57c2; } .put { background: #8a4b00; }
.patch { background: #6a3fb5; } .delete { background: #b3261e; }
.anchor { text-decoration: none; color: var(--dim); }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: .5rem; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; max-height: none; } }
`
