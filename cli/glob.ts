/** Whether a path matches a pattern as db.migrations.schema_paths has them: `*`, `?`, `**`, `[a-z]`. */
export function matchesGlob(path: string, pattern: string): boolean {
  const source = pattern.replace(/\*\*\/?|[*?]|\[[^\]]*\]|[.+^${}()|\\]/g, (token) => {
    if (token === "**/") return "(?:.*/)?";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    if (token === "?") return "[^/]";
    return token.startsWith("[") ? token : `\\${token}`;
  });
  return new RegExp(`^${source}$`).test(path);
}
