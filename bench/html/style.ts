/** Colours told apart by people who see few, in either scheme. */
export const STYLE = `
:root { color-scheme: light dark; --ground: #fcfcfb; --ink: #1b1b1a; --faint: #6f6e6a; --line: #dddcd6; --met: #0a7a2f; --missed: #c22f2e;
  --c0: #2a78d6; --c1: #1baf7a; --c2: #eda100; --c3: #4a3aa7; --c4: #e34948; --c5: #008300; --c6: #e87ba4; --c7: #8a8983; }
@media (prefers-color-scheme: dark) { :root { --ground: #1a1a19; --ink: #f0efec; --faint: #a3a29c; --line: #3c3b38; --met: #4cc26e;
  --missed: #f07b79; --c0: #3987e5; --c1: #199e70; --c2: #c98500; --c3: #9085e9; --c4: #e66767; --c5: #2fa52f; --c6: #d55181; --c7: #8a8983; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p, figcaption, footer { color: var(--faint); } figure { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.met { color: var(--met); font-weight: 600; } .missed { color: var(--missed); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: var(--ink); }
svg .faint { fill: var(--faint); } svg .axis { stroke: var(--line); } svg .spread { stroke: var(--ink); stroke-width: 1.5; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); font-size: 12px; } summary { cursor: pointer; }
`;
