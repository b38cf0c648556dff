import { createClient } from "@supabase/supabase-js";
import { Failure } from "../stack/failure.ts";
import { runningStack } from "../stack/instance.ts";
import { stackPaths } from "../stack/paths.ts";
import { loadSecrets } from "../stack/secrets.ts";

/** The organization and the range of a report. */
export interface AskedReport {
  organization_id: string;
  since: string | undefined;
  until: string | undefined;
}

/**
 * Asks the function `bulwark-compliance` for a signed report, as whom the environment says.
 * @throws Failure NO_SETTING, NOT_RUNNING, SIGN_IN, UNREACHABLE, or REFUSED with the code and
 *   message of a refusal
 */
export async function askForReport(asked: AskedReport, signal: AbortSignal): Promise<string> {
  const { url, token, publishableKey } = await place();
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given as [string, string][]);
  const answer = await fetch(`${url}/functions/v1/bulwark-compliance/report?${query}`, {
    headers: { apikey: publishableKey ?? token, authorization: `Bearer ${token}` },
    signal,
  }).catch((thrown) => {
    if (signal.aborted) throw thrown;
    throw new Failure("UNREACHABLE", `Cannot make the report: ${url} does not answer`);
  });
  const text = await answer.text();
  if (answer.ok) return text;
  throw new Failure("REFUSED", `Cannot make the report: ${refusalIn(text, answer.status)}`);
}

function refusalIn(text: string, status: number): string {
  try {
    const { code, message } = JSON.parse(text);
    return `${code} ${message}`;
  } catch {
    return `HTTP ${status}`;
  }
}

interface Place {
  url: string;
  token: string;
  publishableKey: string | null;
}

async function place(): Promise<Place> {
  const url = Deno.env.get("SUPABASE_URL")?.replace(/\/+$/, "");
  if (!url) return await localPlace();
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new Failure("NO_SETTING", "Cannot make the report: SUPABASE_URL is no URL", 2);
  }
  const secretKey = Deno.env.get("SUPABASE_SECRET_KEY");
  if (secretKey) return { url, token: secretKey, publishableKey: null };
  const publishableKey = setting("SUPABASE_PUBLISHABLE_KEY");
  const client = createClient(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
  const { data, error } = await client.auth.signInWithPassword({
    email: setting("BULWARK_EMAIL"),
    password: setting("BULWARK_PASSWORD"),
  });
  if (error) throw new Failure("SIGN_IN", `Cannot sign in: ${error.message}`);
  return { url, token: data.session.access_token, publishableKey };
}

async function localPlace(): Promise<Place> {
  const stack = await runningStack(stackPaths());
  if (!stack) {
    throw new Failure(
      "NOT_RUNNING",
      "Cannot make the report: set SUPABASE_URL, or run npm start first",
    );
  }
  const { secretKey } = await loadSecrets(stackPaths().secrets);
  return { url: stack.url, token: secretKey, publishableKey: null };
}

function setting(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Failure("NO_SETTING", `Cannot make the report: ${name} is not set`, 2);
  return value;
}
