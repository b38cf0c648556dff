const removed = "[removed]";

/** A URL's user and password, and its query. */
const urlForms: [RegExp, string][] = [
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/]+@/gi, `$1${removed}@`],
  [/(https?:\/\/[^\s?#"']+)\?[^\s"')]+/gi, `$1?${removed}`],
];

/** What gives itself away by its form, wherever it stands. */
const forms: [RegExp, string][] = [
  // JSON Web Tokens, and what is sent as a bearer or basic credential.
  [/\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?/g, removed],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${removed}`],
  // Keys with a name in front: Supabase's, Bulwark's, Stripe's and the like.
  [/\b(sbp?|sk|pk|rk|bw|blw|gh[a-z]|github_pat|xox[a-z]|glpat)[_-][\w+=-]{8,}/g, removed],
  [/\bwhsec_[\w+/=-]{8,}/g, removed],
  // API keys of Bulwark, whatever they were made to begin with.
  [/[a-z]{2,12}_[a-z]{2,12}_[0-9A-Za-z]{38}/g, removed],
  [/\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}/g, removed],
  [/-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g, removed],
  ...urlForms,
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
  // Anything long that looks random: 32 hexadecimal digits or 40 of base64url.
  [/\b[0-9a-f]{32,}\b/gi, removed],
  [/\b(?=[\w+-]*[A-Z])(?=[\w+-]*[a-z])(?=[\w+-]*\d)[\w+-]{40,}={0,2}/g, removed],
  // What Postgres says of a row: Key (email)=(x) already exists; Failing row contains (...).
  [/\)=\([^)]*\)/g, `)=(${removed})`],
  [/row contains \(.*\)/gs, `row contains (${removed})`],
];

/** A path by its form: its last part is a file's name with an extension. */
const pathForm = /(?<![^\s"'`(<])(?:file:\/\/|~|\.{1,2})?\/[^\s"'`()<>?#]*\.[a-z]{1,5}(?![\w/+=])/g;
/** Base64 with slashes in it, or a path. */
const slashedForm = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}={0,2}/g;

/**
 * A text without what must not leave: the given secrets wherever they stand, and whatever has the
 * form of a credential, an address or a row. Rather too much than too little; paths of files stay.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  return scrubForms(withoutSecrets(shorten(text), secrets));
}

/**
 * The path or URL of a source file, part by part: a folder's name may look like a secret, and the
 * rest of the path is still told.
 */
export function scrubPath(path: string, secrets: readonly string[]): string {
  // The address of such a module is its own text, which may hold anything.
  if (/^(data|blob):/i.test(path)) return `${path.slice(0, path.indexOf(":"))}:${removed}`;
  const clean = replaceAll(withoutSecrets(shorten(path), secrets), urlForms);
  return clean.split("/").map(scrubForms).join("/");
}

/** Takes secrets out of texts and out of paths of source files. */
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
 * Whether a text with slashes is base64 and not a path: it has characters that few paths have, or
 * most of it is in parts with both cases and digits, or that change case again and again.
 */
function isRandom(text: string): boolean {
  if (/[+=]/.test(text)) return true;
  const parts = text.split("/").filter((part) =>
    /[a-z]/.test(part) && /[A-Z]/.test(part) && /\d/.test(part) ||
    (part.match(/[a-z](?=[A-Z])|[A-Z]{2}(?=[a-z])/g)?.length ?? 0) >= 3
  );
  return parts.join("").length > text.length / 2;
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
