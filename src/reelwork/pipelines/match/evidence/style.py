"""How the report looks; light or dark as the reader's system is, and on paper."""

from typing import Final

STYLE: Final = """
:root{--back:#fafaf8;--card:#fff;--ink:#1d1d1f;--muted:#6a6a70;--edge:#e2e2de;--bar:#ecece8;
--sure:#1f8a4c;--likely:#b7791f;--maybe:#8a8a90}
@media (prefers-color-scheme:dark){:root{--back:#141618;--card:#1d2023;--ink:#ececee;--muted:#9a9aa2;--edge:#2f3337;
--bar:#282c30;--sure:#3fb873;--likely:#dba13d;--maybe:#8a8a92}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 24px 80px}
h1{font-size:28px;margin:0 0 4px}h2{font-size:20px;margin:40px 0 12px}h3{font-size:16px;margin:0 0 8px}
p{margin:4px 0}small,.muted{color:var(--muted);font-weight:400}
.note{border-left:3px solid var(--likely);padding:2px 12px;margin-top:10px}
.wide{overflow-x:auto}
.matrix{border-collapse:collapse;background:var(--card);border:1px solid var(--edge)}
.matrix th,.matrix td{border:1px solid var(--edge);padding:5px 8px;text-align:center;font-weight:500}
.matrix thead th span{display:inline-block;max-width:130px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;
vertical-align:bottom}
.matrix tbody th{text-align:left;white-space:nowrap;max-width:300px;overflow:hidden;text-overflow:ellipsis}
.matrix tbody th img{width:44px;height:44px;object-fit:contain;vertical-align:middle;margin-right:10px;background:#fff;
border-radius:3px}
.matrix a,.card h3 span{display:inline-block;min-width:48px;padding:2px 8px;border-radius:4px;color:#fff;
text-decoration:none;font-weight:600;font-variant-numeric:tabular-nums}
.none{color:var(--muted)}
a.sure,i.sure,span.sure{background:var(--sure)}a.likely,i.likely,span.likely{background:var(--likely)}
a.maybe,i.maybe,span.maybe{background:var(--maybe)}
.video,.card{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:16px 18px;margin:0 0 14px}
.line{display:grid;grid-template-columns:240px 1fr;gap:14px;align-items:center;margin:5px 0}
.line a{color:inherit;text-decoration:none;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.line a:hover{text-decoration:underline}
.bar{position:relative;height:18px;background:var(--bar);border-radius:4px}
.bar i{position:absolute;top:0;bottom:0;min-width:3px;border-radius:4px}
.bar b{position:absolute;top:-3px;bottom:-3px;width:2px;background:var(--ink)}
.ticks{display:flex;justify-content:space-between;color:var(--muted);font-size:12px;font-variant-numeric:tabular-nums}
.card img{width:100%;height:auto;display:block;border-radius:5px;margin-top:10px}
.card h3 span{float:right}
@media (max-width:700px){.line{grid-template-columns:110px 1fr}}
@media print{.card{break-inside:avoid}body{background:#fff}}
""".strip()
