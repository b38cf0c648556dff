const removed = "[removed]";

/** A URL's user and password, and its query. */
const urlForms: [RegExp, string][] = [
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]+@/gi, `$1${removed}@`],
  [/(https?:\/\/[^\s?#"']+)\?[^\s"')]+/gi, `$1?${removed}`],
];

/** Secrets and personal data that are recognized by their form. */
const forms: [RegExp, string][] = [
  // JSON Web Tokens; bearer and basic credentials.
  [/\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?/g, removed],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${removed}`],
  // Keys with a known prefix: Supabase, Bulwark, Stripe, GitHub, Slack, GitLab.
  [/\b(sbp?|sk|pk|rk|bw|blw|gh[a-z]|github_pat|xox[a-z]|glpat)[_-][\w+=-]{8,}/g, removed],
  [/\bwhsec_[\w+/=-]{8,}/g, removed],
  // API keys of Bulwark with any prefix.
  [/[a-z]{2,12}_[a-z]{2,12}_[0-9A-Za-z]{38}/g, removed],
  [/\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}/g, removed],
  [/-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g, removed],
  ...urlForms,
  // name = value if the name says that the value is secret.
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
  // Long random text: 32 hexadecimal digits, or 40 characters of base64url.
  [/\b[0-9a-f]{32,}\b/gi, removed],
  [/\b(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])(?=[\w+-]*\d)[\w+-]{40,}={0,2}/g, removed],
  // Rows in errors of Postgres: Key (email)=(x) already exists; Failing row contains (...).
  [/\)=\([^)]*\)/g, `)=(${removed})`],
  [/row contains \(.*\)/gs, `row contains (${removed})`],
];

/** A path whose last part is a file name with an extension. */
const pathForm = /(?<![^\s"'`(<])(?:file:\/\/|~|\.{1,2})?\/[^\s"'`()<>?#]*\.[a-z]{1,5}(?![\w/+=])/g;
/** Base64 with slashes in it, or a path. */
const slashedForm = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}={0,2}/g;

/**
 * Removes the given secrets and everything that looks like a credential, an address or a row. It
 * prefers removing too much; paths of files stay.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  return scrubForms(withoutSecrets(shorten(text), secrets));
}

/**
 * Scrubs the path or URL of a source file part by part, so that a folder that looks like a secret
 * does not remove the rest.
 */
export function scrubPath(path: string, secrets: readonly string[]): string {
  // Such a URL contains the module's source.
  if (/^(data|blob):/i.test(path)) return `${path.slice(0, path.indexOf(":"))}:${removed}`;
  const clean = replaceAll(withoutSecrets(shorten(path), secrets), urlForms);
  return clean.split("/").map(scrubForms).join("/");
}

/** Scrubs texts and paths of source files. */
export interface Scrubber {
  text(text: string): string;
  path(path: string): string;
}

/** {@link scrub} and {@link scrubPath} for the same secrets. */
export function scrubber(secrets: readonly string[]): Scrubber {
  return {
    text: (text) => scrub(text, secrets),
    path: (path) => scrubPath(path, secrets),
  };
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, removed), text);
}

function replaceAll(text: string, by: readonly [RegExp, string][]): string {
  return by.reduce((clean, [form, replacement]) => clean.replace(form, replacement), text);
}

function scrubForms(text: string): string {
  const clean = replaceAll(text, forms);
  const paths = [...clean.matchAll(pathForm)];
  return clean.replace(slashedForm, (found, start: number) => {
    const isPath = paths.some(({ 0: path, index }) =>
      index <= start && start + found.length <= index + path.length
    );
    return isPath || !isRandom(found) ? found : removed;
  });
}

/**
 * Whether a text with slashes is base64 rather than a path: it contains + or =, or most of it is in
 * parts that mix both cases with digits or change case at least three times.
 */
function isRandom(text: string): boolean {
  if (/[+=]/.test(text)) return true;
  const parts = text.split("/").filter((part) =>
    /[a-z]/.test(part) && /[A-Z]/.test(part) && /\d/.test(part) ||
    (part.match(/[a-z](?=[A-Z])|[A-Z]{2}(?=[a-z])/g)?.length ?? 0) >= 3
  );
  return parts.join("").length > text.length / 2;
}

/** Longer texts are cut first: matching takes time quadratic in the length. */
const longest = 4000;

/** Cuts a text before the word that crosses the limit. */
function shorten(text: string): string {
  if (text.length <= longest) return text;
  const cut = text.slice(0, longest);
  const space = Math.max(cut.lastIndexOf(" "), cut.lastIndexOf("\n"));
  return cut.slice(0, Math.max(space, longest - 1000));
}
