/** How /docs looks, by day and by night. */
export const style = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2rem 1rem 6rem; }
h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); }
h4 { margin: 1rem 0 0.25rem; }
.operation { border-bottom: 1px solid var(--line); padding-bottom: 0.5rem; }
.method { font: 600 0.8em ui-monospace, monospace; padding: 0.15em 0.5em; border: 1px solid var(--line); border-radius: 4px; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; }
small { opacity: 0.75; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0; border-top: 1px solid var(--line); font-weight: normal; }
th { width: 16rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid var(--line); border-radius: 4px; font: 0.85em/1.4 ui-monospace, monospace; }
nav a { display: inline-block; margin-right: 1rem; }
@media (max-width: 40rem) { th, td { display: block; width: auto; } td { border-top: 0; padding-left: 1rem; } }
tr:target, section:target { background: color-mix(in srgb, Highlight 25%, transparent); }
`
