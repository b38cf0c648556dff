/** The error codes of the client library, from docs/errors.md. */
import { inRepository } from "../../stack/paths.ts";

/** Sections about the command and its migrations, whose errors no client receives. */
const notForClients = /^CLI_|^UNINSTALL_/;

/** The codes that clients receive with their meaning, in the order of docs/errors.md. */
export async function clientCodes(): Promise<Map<string, string>> {
  const document = await Deno.readTextFile(inRepository("docs", "errors.md"));
  const rows = document.matchAll(/^\| `([A-Z_]+)` \|(?:.*\|)? (.+) \|$/gm);
  return new Map(
    [...rows].map(([, code = "", meaning = ""]) => [code, meaning] as const)
      .filter(([code]) => !notForClients.test(code)),
  );
}

/** The union of the codes. */
export function codesModule(codes: Map<string, string>): string {
  const union = [...codes.keys()].map((code) => `\n  | ${JSON.stringify(code)}`).join("");
  return `/** All codes of docs/errors.md that a client receives. */
export type BulwarkCode =${union};
`;
}

/** A text for each code. */
export function textsModule(codes: Map<string, string>): string {
  const texts = [...codes].map(([code, meaning]) =>
    `  ${code}: ${JSON.stringify(meaning.replaceAll("`", ""))},\n`
  );
  return `import type { BulwarkCode } from "./codes.ts";

/** An English text for each code. */
export const texts: Readonly<Record<BulwarkCode, string>> = {
${texts.join("")}};
`;
}
