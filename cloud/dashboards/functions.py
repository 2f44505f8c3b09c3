"""The JavaScript in cells of tables, by style (pure). ThingsBoard calls it with value, entity, ctx."""

GOOD, FAIR, BAD, FAINT = "#2e7d32", "#b26a00", "#c62828", "#9e9e9e"

CONTENT = {
    "active": "return value === '' || value === undefined ? '?' : (value === true || value === 'true' ? 'yes' : 'no');",
    "age_s": """if (value === '' || value === undefined) { return ''; }
var s = Number(value);
if (s >= 172800) { return Math.floor(s / 86400) + ' d'; }
if (s >= 7200) { return Math.floor(s / 3600) + ' h'; }
return s >= 120 ? Math.floor(s / 60) + ' min' : Math.round(s) + ' s';""",
    "ago": """if (!Number(value)) { return 'never'; }
var s = Math.max(0, (Date.now() - Number(value)) / 1000);
if (s >= 172800) { return Math.floor(s / 86400) + ' d ago'; }
if (s >= 7200) { return Math.floor(s / 3600) + ' h ago'; }
return s >= 120 ? Math.floor(s / 60) + ' min ago' : Math.round(s) + ' s ago';""",
    "mebibytes": "return value === '' || value === undefined ? '' : Math.round(Number(value) / 1048576) + ' MiB';",
    "received_of_expected": """var expected = Number(entity['Expected']);
return expected > 0 ? (100 * Number(value || 0) / expected).toFixed(1) + ' %' : '';""",
}

STYLE = {
    "active": f"return {{color: value === true || value === 'true' ? '{GOOD}' : '{BAD}', fontWeight: 600}};",
    "grade": f"""var colours = {{excellent: '{GOOD}', good: '{GOOD}', fair: '{FAIR}', poor: '{BAD}', lost: '{BAD}'}};
return {{color: colours[value] || '{FAINT}', fontWeight: 600}};""",
    "age_s": f"return {{color: Number(value) > 3600 ? '{BAD}' : Number(value) > 600 ? '{FAIR}' : 'inherit'}};",
    "percent": f"return {{color: Number(value) < 90 ? '{BAD}' : Number(value) < 99 ? '{FAIR}' : 'inherit'}};",
    "none_is_good": f"return {{color: Number(value) > 0 ? '{BAD}' : 'inherit'}};",
    "received_of_expected": f"""var part = Number(value || 0) / Number(entity['Expected']);
return {{color: part >= 1 ? '{GOOD}' : part >= 0.95 ? '{FAIR}' : '{BAD}', fontWeight: 600}};""",
}

MARKER_COLOUR = f"""var colours = {{excellent: '{GOOD}', good: '{GOOD}', fair: '{FAIR}', poor: '{BAD}', lost: '{BAD}'}};
return data.active === 'true' || data.active === true ? colours[data.link] || '{FAINT}' : '{BAD}';"""
