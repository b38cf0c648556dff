import assert from "node:assert/strict";
import { parseEnv } from "./env_file.ts";
import { Failure } from "./failure.ts";
import { loadSecrets } from "./secrets.ts";

const withFile = async (test: (file: string) => Promise<void>) => {
  const folder = await Deno.makeTempDir();
  try {
    await test(`${folder}/secrets.env`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
};

Deno.test("loadSecrets() makes what is missing, keeps it private and finds it again", () =>
  withFile(async (file) => {
    const first = await loadSecrets(file);
    assert.deepEqual(await loadSecrets(file), first);
    assert.equal((await Deno.stat(file)).mode! & 0o777, 0o600);
    assert.ok(first.jwtSecret.length >= 32);
    assert.equal(new Set(Object.values(first)).size, Object.keys(first).length);
  }));

Deno.test("loadSecrets() prefers the environment and does not write it down", () =>
  withFile(async (file) => {
    Deno.env.set("BULWARK_DEMO_PASSWORD", "from the environment");
    try {
      assert.equal((await loadSecrets(file)).demoPassword, "from the environment");
      assert.ok(!(await Deno.readTextFile(file)).includes("environment"));
    } finally {
      Deno.env.delete("BULWARK_DEMO_PASSWORD");
    }
  }));

Deno.test("loadSecrets() refuses a key that no client would recognize", () =>
  withFile(async (file) => {
    await Deno.writeTextFile(file, "SUPABASE_SECRET_KEY=password\n");
    await assert.rejects(loadSecrets(file), Failure);
  }));

Deno.test("parseEnv() reads names, quotes and comments", () => {
  const text = '# no\nA=1\nexport B="two words"\n C = three \nD=\n#E=5\nF=a=b\n';
  assert.deepEqual(parseEnv(text), { A: "1", B: "two words", C: "three", F: "a=b" });
});
