"""The page's style sheet: system fonts, light and dark, and rows that become cards on a narrow screen."""

from evalsvc.verdicts.page import TAG_STYLE

STYLE = (
    """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#566173;--line:#dfe4ec;--grid:#e8ecf2;--band:#b9cdea;
--mark:#1f4e8c;--back:#fff;--head:#f6f8fb;--warn:#9a3412;--warnback:#fff3e6}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--soft:#a3afc0;--line:#333c49;--grid:#28303b;--band:#34537f;
--mark:#9cc4f7;--back:#13171d;--head:#1a2029;--warn:#ffb38a;--warnback:#3a2417}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:2rem 1.5rem 3rem;font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 .35rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:2.5rem 0 .1rem;overflow-wrap:anywhere}
p{margin:.25rem 0;max-width:46rem}small,.soft{color:var(--soft);font-size:.85rem}
a{color:var(--mark)}a:focus-visible,summary:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
nav{display:flex;flex-wrap:wrap;gap:.4rem;margin:1rem 0}
nav a{padding:.2rem .7rem;border:1px solid var(--line);border-radius:1rem;text-decoration:none}
nav a[aria-current]{background:var(--mark);border-color:var(--mark);color:var(--back)}
.how{margin:1rem 0 0;padding:.7rem 1rem;border-left:3px solid var(--mark);background:var(--head)}
table{border-collapse:collapse;width:100%;margin-top:.8rem}
th,td{padding:.3rem .75rem .3rem 0;text-align:left;vertical-align:middle;font-weight:400}
thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom;padding-bottom:.5rem}
tbody{border-top:1px solid var(--line)}tbody tr:last-child>*{padding-bottom:1rem}
.metric>*{padding-top:.9rem;vertical-align:bottom}.metric strong{font-size:1.02rem}
td.n,thead th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td small,th small{display:block;line-height:1.25;font-weight:400}.said{display:block}.event{min-width:10rem}
.version{font-weight:600;overflow-wrap:anywhere;max-width:16rem}
.value{font-size:1.15rem;font-weight:600}
.warn{display:inline-block;padding:0 .4rem;border-radius:.25rem;background:var(--warnback);color:var(--warn)}
details{font-size:.85rem;color:var(--soft)}summary{cursor:pointer;width:max-content}
details p{max-width:34rem}code{font-size:.92em;overflow-wrap:anywhere}
svg{display:block;max-width:100%}svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid);fill:none}.band{fill:var(--band);opacity:.75}.thin{stroke:var(--band);stroke-width:2}
.line{fill:none;stroke:var(--mark);stroke-width:1.75;stroke-linejoin:round}.dot{fill:var(--mark)}
.whisker{stroke:var(--mark);stroke-width:2;fill:none}
footer{margin-top:3rem;border-top:1px solid var(--line)}footer h2{font-size:1rem;margin-top:1.2rem}
footer ul{margin:.3rem 0;padding-left:1.2rem}footer li{overflow-wrap:anywhere}
@media(max-width:60rem){
body{padding:1.2rem 1rem 2rem}
table,tbody,tr,th,td{display:block}thead,.metric td{display:none}tbody{padding:.6rem 0}
th,td,.metric>*,tbody tr:last-child>*{padding:.1rem 0;max-width:none}td.n{text-align:left}
tbody tr:not(.metric){display:grid;grid-template-columns:repeat(6,1fr);gap:.35rem .75rem;padding:.6rem 0}
tbody tr:not(.metric)+tr:not(.metric){border-top:1px dashed var(--line)}
tbody tr:not(.metric)>*{grid-column:span 2;min-width:0}tbody tr:not(.metric)>.half{grid-column:span 3}
tbody tr:not(.metric)>.wide{grid-column:1/-1}
.metric td.axis{display:block;margin-top:.4rem}svg{width:100%;height:auto;max-width:26rem}
[data-label]::before{content:attr(data-label);display:block;font-size:.8rem;font-weight:400;color:var(--soft)}}
@media print{nav{display:none}body{max-width:none;padding:0}tbody{break-inside:avoid}}
"""
    + TAG_STYLE
)
