/** A forgotten password in Chromium: the message's code lets in once, and the second factor stays. */
import assert from "node:assert/strict";
import { codeOf } from "../client/steps.ts";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { anonymous, connect, liftLimits, type Person, signUp, url } from "../support.ts";
import { judge, openConsole, signIn, signOut } from "./support.ts";

/** The local stack sends no mail, so the test knows the code by giving it. */
async function giveCode({ id, email }: Person, code: string): Promise<void> {
  const owner = connect(1);
  const written = await owner`
    update auth.users
    set recovery_token = encode(sha256(convert_to(${email + code}, 'UTF8')), 'hex')
    where id = ${id} and recovery_token <> '' and recovery_sent_at is not null`;
  await owner.end();
  assert.equal(written.count, 1, "the message was asked for");
}

Deno.test({
  name:
    "CONSOLE-E12: a code of a message sets a new password, and the second factor is still asked" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await liftLimits();
    const ada = await signUp("ada");
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { secret } = await bulwark.mfa.enroll();
    const { backup_codes } = await bulwark.mfa.activate(codeOf(secret));
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsole(chromium, "/new-password");
      await page.getByRole("heading", { name: "Set a new password" }).waitFor();
      await page.getByRole("link", { name: "Back to sign in" }).click();
      await page.getByRole("link", { name: "Forgot your password?" }).click();
      await judge(page, "recover");
      await page.getByLabel("E-mail").fill(ada.email);
      await page.getByRole("button", { name: "Send the message" }).click();
      await page.getByRole("heading", { name: "Look into your mail" }).waitFor();
      await giveCode(ada, "424242");
      await page.getByLabel("Code").fill("424241");
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByRole("alert").waitFor();
      assert.equal(await page.getByLabel("Code").inputValue(), "424241", "nothing typed is lost");
      await judge(page, "recover-sent");
      await page.getByLabel("Code").fill("424242");
      await page.getByRole("button", { name: "Continue" }).click();
      const field = page.getByLabel("New password");
      await field.waitFor();
      await judge(page, "new-password");
      const password = crypto.randomUUID();
      await field.fill(password);
      await page.getByRole("button", { name: "Set password" }).click();
      await page.getByRole("heading", { name: "Second factor" }).waitFor();
      const before = await anonymous().auth.signInWithPassword(ada);
      assert.equal(before.error?.code, "invalid_credentials", "the password of before is over");
      await page.getByRole("button", { name: "Sign out" }).click();
      await signIn(page, { email: ada.email, password });
      await page.getByRole("heading", { name: "Second factor" }).waitFor();
      // The screen that somebody signed out from is not asked for again after the second factor.
      await page.getByRole("button", { name: "Use a backup code" }).click();
      await page.getByLabel("Backup code").fill(backup_codes![0]!);
      await page.getByRole("button", { name: "Verify" }).click();
      await page.getByRole("heading", { name: "Organizations", exact: true }).waitFor();
      await signOut(page);
      // Too many attempts are said in words, and nothing typed is lost.
      const owner = connect(1);
      await owner`update bulwark.rate_limit_rules set capacity = 1 where name = 'auth_login'`;
      await owner.end();
      const limited = page.locator("[data-code=RATE_LIMIT_EXCEEDED]");
      const wrong = { email: ada.email, password: crypto.randomUUID() };
      await signIn(page, wrong);
      await page.locator("[data-code]").waitFor();
      await signIn(page, wrong);
      await limited.waitFor();
      assert.match(await limited.innerText(), /Try again in \d+ seconds/);
      assert.equal(await page.getByLabel("Password").inputValue(), wrong.password);
      await judge(page, "too-many");

      // A link that has ended leads to another message.
      await page.goto("about:blank");
      await page.goto(`${url}/#error=access_denied&error_code=otp_expired`);
      await page.getByText("That link was used before").waitFor();
      assert.deepEqual(faults, []);
      await page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
