/** The login page of docs/mfa.md and the QR code, in a real browser. */
import assert from "node:assert/strict";
import { inRepository } from "../../scripts/stack/paths.ts";
import { qrSvg } from "../../supabase/functions/_bulwark/mfa/qr.ts";
import { browser, html, javascript, visit } from "../foundation/browser.ts";
import { codeAt, earlyInStep, enrolled } from "./support.ts";
import { createOrganization, publishableKey, signUp, url } from "../support.ts";

const inBrowser = (name: string, fn: () => Promise<void>) =>
  Deno.test({
    name: name + (browser ? "" : " (needs Chromium; Debian: chromium)"),
    ignore: browser === null,
    fn,
  });

/** The page as the guide has it. */
async function guidePage(): Promise<string> {
  const guide = await Deno.readTextFile(inRepository("docs", "mfa.md"));
  const page = /```html\n(.*?)\n```/s.exec(guide)?.[1];
  assert.ok(page, "docs/mfa.md has the page");
  return page;
}

/** Runs the page with a script that does as people do: fills in, submits, and reads. */
async function run<Result>(settings: Record<string, unknown>, script: string) {
  const library = await Deno.readTextFile(
    inRepository("node_modules", "@supabase", "supabase-js", "dist", "umd", "supabase.js"),
  );
  const before = `
    const settings = ${JSON.stringify(settings)};
    globalThis.supabase = supabase.createClient(settings.url, settings.key, {
      db: { schema: "bulwark" },
    });
    globalThis.organization_id = settings.organization;
    const tell = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
    const until = async (check) => {
      for (let n = 0; n < 400 && !check(); n++) await new Promise((go) => setTimeout(go, 25));
      if (!check()) throw new Error("waited in vain: " + check + problemOf());
    };
    const field = (form, name) => document.forms[form].elements[name];
    const problemOf = () => document.getElementById("problem").textContent;
    const signIn = async (password = settings.password) => {
      field("sign-in", "email").value = settings.email;
      field("sign-in", "password").value = password;
      document.forms["sign-in"].requestSubmit();
    };
    const prove = (code) => {
      field("prove", "code").value = code;
      document.forms["prove"].requestSubmit();
    };
    let signedIn = false;
    addEventListener("signed-in", () => signedIn = true);
    addEventListener("load", async () => {
      try { await tell(await (async () => { ${script} })()); }
      catch (error) { await tell({ error: String(error) }); }
    });`;
  const page = await guidePage();
  return await visit<Result>({
    "/": () =>
      html(`<script src="/supabase.js"></script><script src="/before.js"></script>${page}`),
    "/supabase.js": () => javascript(library),
    "/before.js": () => javascript(before),
  });
}

inBrowser(
  "MFA-P01: the guide's page signs in by a backup code with as many digits as may be",
  async () => {
    const ada = await enrolled("ada");
    const codes = [...ada.backupCodes].sort((a, b) =>
      b.replace(/\D/g, "").length - a.replace(/\D/g, "").length
    );
    // Six digits among 24 characters were taken for the app's code once.
    const code = codes.find((each) => each.replace(/\D/g, "").length === 6) ?? codes[0];
    const settings = { url, key: publishableKey, email: ada.email, password: ada.password, code };
    const result = await run(
      settings,
      `
    await signIn("wrong");
    await until(() => problemOf());
    const refused = problemOf();
    await signIn();
    await until(() => !document.forms["prove"].hidden);
    prove("12345");
    await until(() => /six digits/.test(problemOf()));
    prove(settings.code);
    await until(() => signedIn);
    const { data } = await supabase.rpc("mfa_verified", { max_age: "10 minutes" });
    return { refused: refused !== "", verified: data, problem: problemOf() };
  `,
    );
    assert.deepEqual(result, { refused: true, verified: true, problem: "" });
  },
);

inBrowser(
  "MFA-P02: it enrolls who an organization requires it of, and shows the QR code",
  async () => {
    const eve = await signUp("eve");
    const organization = await createOrganization(eve);
    const { error } = await eve.client.rpc("set_mfa_policy", {
      organization_id: organization,
      required: true,
      grace_period: "0",
      reset_needs_approval: false,
    });
    assert.equal(error, null);
    const settings = {
      url,
      key: publishableKey,
      email: eve.email,
      password: eve.password,
      organization,
    };
    const result = await run<{ width: number; height: number }>(
      settings,
      `
    await signIn();
    await until(() => document.getElementById("qr").complete
      && document.getElementById("qr").naturalWidth > 0);
    const { width, height } = document.getElementById("qr").getBoundingClientRect();
    return { width, height };
  `,
    );
    assert.ok("width" in result, JSON.stringify(result));
    assert.ok(result.width >= 150 && result.width === result.height, JSON.stringify(result));
  },
);

inBrowser("MFA-P03: it says so where no answer comes, and goes on when one does", async () => {
  const ada = await enrolled("ada");
  const now = await earlyInStep();
  const code = codeAt(ada.secret, now);
  const settings = { url, key: publishableKey, email: ada.email, password: ada.password, code };
  const result = await run(
    settings,
    `
    await signIn();
    await until(() => !document.forms["prove"].hidden);
    const fetched = globalThis.fetch;
    globalThis.fetch = () => Promise.reject(new TypeError("Failed to fetch"));
    prove(settings.code);
    await until(() => problemOf());
    const problem = problemOf();
    globalThis.fetch = fetched;
    await until(() => !document.querySelector("#prove button").disabled);
    prove(settings.code);
    await until(() => signedIn);
    return { problem };
  `,
  );
  assert.deepEqual(result, { problem: "The server cannot be reached: try again" });
});

inBrowser("MFA-P04: a QR code keeps its size in every layout, inline and as an image", async () => {
  const svg = qrSvg("otpauth://totp/Bulwark:ada?secret=JBSWY3DPEHPK3PXP&issuer=Bulwark");
  const image = `<img alt="" src="data:image/svg+xml,${encodeURIComponent(svg)}">`;
  const layouts = {
    block: "<div>*</div>",
    flex: `<div style="display:flex">*</div>`,
    "flex column": `<div style="display:flex;flex-direction:column;align-items:center">*</div>`,
    grid: `<div style="display:grid;place-items:center">*</div>`,
    "grid auto": `<div style="display:grid;grid-template-columns:auto 1fr"><div>*</div></div>`,
    table: "<table><tr><td>*</td></tr></table>",
    centred: `<div style="position:absolute;left:50%;transform:translate(-50%)">*</div>`,
    "inline block": `<span style="display:inline-block">*</span>`,
    float: `<div style="float:left">*</div>`,
  };
  const boxes = Object.entries(layouts).flatMap(([name, layout]) =>
    [svg, image].map((code) => `<section title="${name}">${layout.replace("*", code)}</section>`)
  ).join("");
  const script = `addEventListener("load", () => fetch("/result", {
    method: "POST",
    body: JSON.stringify([...document.querySelectorAll("section")].map((section) => {
      const { width, height } = section.querySelector("svg, img").getBoundingClientRect();
      return [section.title, Math.round(width), Math.round(height)];
    })),
  }));`;
  const result = await visit<[string, number, number][]>({
    "/": () => html(`${boxes}<script src="/page.js"></script>`),
    "/page.js": () => javascript(script),
  });
  assert.ok(Array.isArray(result), JSON.stringify(result));
  assert.equal(result.length, Object.keys(layouts).length * 2);
  for (const [name, width, height] of result) {
    assert.ok(width >= 150 && width === height, `${name}: ${width} by ${height}`);
  }
});
