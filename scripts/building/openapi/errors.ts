/** The refusals of docs/errors.md, as the responses of operations. */
import { inRepository } from "../../stack/paths.ts";

/** A code that clients receive. */
export interface ErrorCode {
  meaning: string;
  /** The HTTP statuses that it comes with. */
  statuses: number[];
}

/** The codes with an HTTP status, in the order of docs/errors.md. */
export async function errorCodes(): Promise<Map<string, ErrorCode>> {
  const document = await Deno.readTextFile(inRepository("docs", "errors.md"));
  const rows = document.matchAll(/^\| `([A-Z_]+)` \| ([^|]+) \| (.+) \|$/gm);
  return new Map(
    [...rows].map(([, code = "", cell = "", meaning = ""]) =>
      [code, { meaning, statuses: statusesOf(cell) }] as const
    ).filter(([, { statuses }]) => statuses.length > 0),
  );
}

function statusesOf(cell: string): number[] {
  const named = [...cell.matchAll(/\b(?:PT)?([1-5]\d\d)\b/g)].map(([, status]) => Number(status));
  if (named.length > 0) return [...new Set(named)];
  const state = /\b[0-9A-Z]{5}\b/.exec(cell)?.[0];
  if (!state) return [];
  if (state === "42501") return [403];
  return [/^(22|42)/.test(state) ? 400 : 500];
}

/** Codes that any function of the edge may answer. */
export const ofEveryOperation = [
  "DATA_API_UNAVAILABLE",
  "INTERNAL",
  "RATE_LIMIT_BLOCKED",
  "RATE_LIMIT_EXCEEDED",
  "RATE_LIMIT_UNAVAILABLE",
];
export const ofEveryInput = ["INVALID_INPUT"];
export const ofEveryBody = ["BODY_INCOMPLETE", "BODY_TOO_LARGE", "INVALID_JSON"];
export const ofEveryUser = [
  "ACCOUNT_SUSPENDED",
  "FORBIDDEN",
  "RBAC_NOT_AUTHENTICATED",
  "SESSION_ENDED",
  "TOKEN_SUBJECT_INVALID",
  "UNAUTHORIZED",
];
/** Codes that any call of the Data API may answer. */
export const ofEveryCall = [
  "ACCOUNT_SUSPENDED",
  "RATE_LIMIT_BLOCKED",
  "RATE_LIMIT_EXCEEDED",
  "RBAC_NOT_AUTHENTICATED",
  "SESSION_ENDED",
  "TOKEN_SUBJECT_INVALID",
];

/** A refusal for each status of the codes. `field` holds the code in the body. */
export function refusals(
  names: readonly string[],
  known: Map<string, ErrorCode>,
  { schema, field }: { schema: string; field: "code" | "details" },
): Record<string, object> {
  const byStatus = new Map<number, string[]>();
  for (const name of new Set(names)) {
    const code = known.get(name);
    if (!code) throw new TypeError(`docs/errors.md does not list ${name}`);
    for (const status of code.statuses) {
      byStatus.set(status, [...byStatus.get(status) ?? [], name]);
    }
  }
  return Object.fromEntries(
    [...byStatus].sort(([one], [other]) => one - other).map(([status, names]) => [status, {
      description: names.sort().map((name) => `- \`${name}\`: ${known.get(name)?.meaning}`)
        .join("\n"),
      content: {
        "application/json": {
          schema: {
            allOf: [{ $ref: `#/components/schemas/${schema}` }],
            properties: { [field]: { enum: names } },
          },
        },
      },
    }]),
  );
}
