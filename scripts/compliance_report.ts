/**
 * `npm run compliance-report -- <organization id> --out <name>`: the evidence about an organization
 * for an auditor: `<name>.ndjson`, which is signed and can be checked later, and for people
 * `<name>.html` and, where Chromium is installed, `<name>.pdf`.
 *
 *   --since <time>, --until <time>   the range of acts, such as 2026-09-01; the last 90 days
 *   --verify <file> --key <key>      checks a report instead, with the public key alone; --out
 *                                    writes its pages anew, from what was checked
 *   --organization <id>              whose report that has to be
 *
 * Ends with 0 where the report was made or is proved, 1 where it could not be made or was altered, and
 * 2 where a check cannot say, or where the arguments are wrong.
 *
 * The environment says where and as whom: SUPABASE_URL, and either SUPABASE_SECRET_KEY or
 * SUPABASE_PUBLISHABLE_KEY with BULWARK_EMAIL and BULWARK_PASSWORD. Without SUPABASE_URL it is the
 * running local stack.
 */
import { parseArgs } from "node:util";
import { parseVerifierKey, type VerifierKey } from "../supabase/functions/_bulwark/audit/note.ts";
import { askForReport } from "./compliance/asking.ts";
import { htmlOf } from "./compliance/html.ts";
import { printPdf } from "./compliance/pdf.ts";
import { type CheckedReport, checkReport } from "./compliance/verifying.ts";
import { exists } from "./stack/binaries.ts";
import { Failure, reason } from "./stack/failure.ts";
import { main } from "./stack/main.ts";

const usage = "npm run compliance-report -- <organization id> --out <name> [--since <time>] " +
  "[--until <time>], or --verify <file> --key <key> [--organization <id>] [--out <name>]";

// 1 says that a report is altered, so a check that failed does not end with it.
const failed = Deno.args.some((arg) => /^--verify(=|$)/.test(arg)) ? 2 : 1;

await main((signal) => {
  const asked = readArguments();
  return asked.verify === undefined ? make(asked, signal) : verify(asked.verify, asked);
}, { failed });

type Asked = ReturnType<typeof readArguments>;

async function make({ organization, since, until, out }: Asked, signal: AbortSignal) {
  const text = await askForReport({ organization_id: organization!, since, until }, signal);
  await write(`${out}.ndjson`, text);
  const checked = await checkReport(text, null, null);
  await writePages(checked, out!);
  if (checked.note === null) {
    console.error("It is not signed: BULWARK_AUDIT_SIGNING_KEYS is not set for the function");
  }
}

async function verify(file: string, { keys, organization, out }: Asked): Promise<number> {
  const known = await Promise.all(keys.map(readKey));
  const checked = await checkReport(await read(file), known, organization ?? null);
  for (const line of checked.lines) console.log(line);
  if (checked.verdict === 0 && out) await writePages(checked, out);
  return checked.verdict;
}

async function writePages(checked: CheckedReport, out: string): Promise<void> {
  const html = htmlOf(checked);
  await write(`${out}.html`, html);
  const printed = await printPdf(`${out}.html`, `${out}.pdf`);
  if (printed) console.log(`${out}.pdf`);
  else console.error(`${out}.pdf was not made: Chromium is not installed`);
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        out: { type: "string" },
        since: { type: "string" },
        until: { type: "string" },
        verify: { type: "string" },
        key: { type: "string", multiple: true },
        organization: { type: "string" },
      },
    });
    const { verify, key: keys = [], since, until, out } = values;
    const named = verify === undefined ? positionals[0] : values.organization;
    if (positionals.length !== (verify === undefined ? 1 : 0)) {
      throw new Error("either one organization or --verify is needed");
    }
    if (verify === undefined && (keys.length > 0 || values.organization !== undefined)) {
      throw new Error("--key and --organization belong to --verify");
    }
    if (verify === undefined && !out) throw new Error("a name for the files is needed (--out)");
    if (verify !== undefined && keys.length === 0) {
      throw new Error("a public key is needed (--key)");
    }
    if (verify !== undefined && (since ?? until) !== undefined) {
      throw new Error("--since and --until belong to a new report");
    }
    return {
      verify,
      keys,
      organization: named?.toLowerCase(),
      out,
      since: moment("since", since),
      until: moment("until", until),
    };
  } catch (thrown) {
    throw new Failure("USAGE", `${reason(thrown).split(". To")[0]}; usage: ${usage}`, 2);
  }
}

/** A date or time as the function reads it. */
function moment(name: string, given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  const time = Date.parse(given);
  if (!/^\d{4}-\d\d-\d\d/.test(given) || Number.isNaN(time)) {
    throw new Error(`--${name} is no time, such as 2026-09-01`);
  }
  return new Date(time).toISOString();
}

async function readKey(given: string): Promise<VerifierKey> {
  try {
    return await parseVerifierKey((exists(given) ? await Deno.readTextFile(given) : given).trim());
  } catch (thrown) {
    throw new Failure("BAD_KEY", `Cannot read the key: ${reason(thrown)}`, 2);
  }
}

async function read(file: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file));
  } catch (thrown) {
    throw new Failure("NO_FILE", `Cannot read ${file}: ${reason(thrown)}`, 2);
  }
}

async function write(file: string, text: string): Promise<void> {
  try {
    // For its owner alone: a report names people.
    await Deno.writeTextFile(file, text, { mode: 0o600 });
    console.log(file);
  } catch (thrown) {
    throw new Failure("NOT_WRITTEN", `Cannot write ${file}: ${reason(thrown)}`);
  }
}
