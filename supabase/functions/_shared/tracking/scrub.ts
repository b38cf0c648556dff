const removed = "[removed]";

/** What gives itself away by its form, wherever it stands. */
const forms: [RegExp, string][] = [
  // JSON Web Tokens, and what is sent as a bearer or basic credential.
  [/\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?/g, removed],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${removed}`],
  // Keys with a name in front: Supabase's, Bulwark's, Stripe's and the like.
  [/\b(sbp?|sk|pk|rk|bw|blw|whsec|gh[a-z]|github_pat|xox[a-z]|glpat)[_-][\w+/=-]{8,}/g, removed],
  // API keys of Bulwark, whatever they were made to begin with.
  [/[a-z]{2,12}_[a-z]{2,12}_[0-9A-Za-z]{38}/g, removed],
  [/\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}/g, removed],
  [/-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g, removed],
  // A URL's user and password, and its query.
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]+@/gi, `$1${removed}@`],
  [/(https?:\/\/[^\s?#"']+)\?[^\s"')]+/gi, `$1?${removed}`],
  // name = value where the name says what it is.
  [
    /\b([\w-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|authorization|cookie|otp|code)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&)}\]]+)/gi,
    `$1${removed}`,
  ],
  [/[\w.+-]+@[\w-]+(\.[\w-]+)+/g, "[address]"],
  // IPv6, with :: or at least five groups, which no time of day has; and IPv4.
  [
    /(?<![\w:.])(?=[\da-f:]*(?:::|(?:[\da-f]{1,4}:){4}))(?:[\da-f]{0,4}:){2,7}[\da-f.]*/gi,
    "[address]",
  ],
  [/(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.]*\w)/g, "[address]"],
  // Anything long that looks random: 32 hexadecimal digits or 40 of base64.
  [/\b[0-9a-f]{32,}\b/gi, removed],
  [/\b(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])(?=[\w+/-]*\d)[\w+/-]{40,}={0,2}/g, removed],
  // What Postgres says of a row: Key (email)=(x) already exists; Failing row contains (...).
  [/\)=\([^)]*\)/g, `)=(${removed})`],
  [/row contains \(.*\)/gs, `row contains (${removed})`],
];

/**
 * A text without what must not leave: the given secrets wherever they stand, and whatever has the
 * form of a credential, an address or a row. Rather too much than too little.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  let clean = shorten(text);
  for (const secret of secrets) clean = clean.replaceAll(secret, removed);
  for (const [form, replacement] of forms) clean = clean.replace(form, replacement);
  return clean;
}

/** What is longer is cut before it is looked through: that takes time by the square of its length. */
const longest = 4000;

/** A text without its end, and without the word that the cut went through. */
function shorten(text: string): string {
  if (text.length <= longest) return text;
  const cut = text.slice(0, longest);
  const space = Math.max(cut.lastIndexOf(" "), cut.lastIndexOf("\n"));
  return cut.slice(0, Math.max(space, longest - 1000));
}
