/**
 * Edge functions of installations that lack capabilities: the files that the installer copies, in front
 * of a Data API that answers for the missing functions as PostgREST does.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import {
  capabilities,
  closure,
  functionFolders,
  installedModule,
} from "../../scripts/building/capabilities.ts";
import { placesOf, readSources } from "../../scripts/building/owners.ts";
import { type Functions, mountFunctions } from "../../scripts/stack/functions.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { filesBelow } from "../../scripts/testing/selection.ts";
import {
  createOrganization,
  type Person,
  publishableKey,
  secretKey,
  signUp,
  url,
} from "../support.ts";

const places = placesOf(await readSources());

/** Runs a test with the functions of a subset; returns the missing functions that they called. */
async function withFunctions(
  names: string[],
  test: (functions: Functions) => Promise<void>,
): Promise<string[]> {
  const there = closure(names);
  const scratch = await makeScratchFolder("functions");
  const missed: string[] = [];
  const api = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const name = /^\/rest\/v1\/(?:rpc\/)?(\w+)$/.exec(pathname)?.[1];
    const place = places.get(`bulwark.${name}`);
    if (name && (place === undefined || !there.includes(capabilities[place]!))) {
      missed.push(name);
      return Response.json({ code: "PGRST202", message: `no function ${name}` }, { status: 404 });
    }
    const body = request.body ? await request.arrayBuffer() : null;
    return await fetch(url + pathname + search, {
      ...request,
      method: request.method,
      headers: request.headers,
      body,
    });
  });
  try {
    for (const folder of functionFolders(names)) {
      for (const path of await filesBelow(`supabase/functions/${folder}`, "")) {
        const target = join(scratch.path, path);
        await Deno.mkdir(dirname(target), { recursive: true });
        await Deno.copyFile(inRepository(path), target);
      }
    }
    const functions = join(scratch.path, "supabase/functions");
    await Deno.writeTextFile(
      join(functions, "_bulwark/foundation/installed.ts"),
      installedModule(names),
    );
    await Deno.symlink(inRepository("node_modules"), join(scratch.path, "node_modules"));
    await Deno.copyFile(inRepository("package.json"), join(scratch.path, "package.json"));
    Deno.env.set("SUPABASE_URL", `http://127.0.0.1:${api.addr.port}`);
    Deno.env.set("SUPABASE_PUBLISHABLE_KEYS", JSON.stringify({ default: publishableKey }));
    Deno.env.set("SUPABASE_SECRET_KEYS", JSON.stringify({ default: secretKey }));
    Deno.env.set("BULWARK_SCHEDULER_SECRET", "x".repeat(40));
    await test(mountFunctions(functions));
  } finally {
    await api.shutdown();
    await scratch.remove();
  }
  return missed;
}

async function ask(functions: Functions, path: string, person?: Person) {
  const info = { remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 } };
  const request = new Request(`http://localhost/functions/v1/${path}`, {
    headers: person ? { authorization: `Bearer ${person.token}` } : {},
  });
  const answer = await functions.fetch(request, info as Deno.ServeHandlerInfo);
  const body = await answer.text();
  return { status: answer.status, body, limited: answer.headers.has("ratelimit") };
}

Deno.test("FND-P04: the core's functions decide without any other capability", async () => {
  const admin = await signUp("admin");
  const organization = await createOrganization(admin);
  const stranger = await signUp("stranger");
  const missed = await withFunctions([], async (functions) => {
    const question = `bulwark-rbac?permission=audit:read&organization_id=${organization}`;
    const allowed = await ask(functions, question, admin);
    assert.deepEqual(allowed, { status: 204, body: "", limited: false });
    assert.equal((await ask(functions, question, stranger)).status, 403);
    assert.equal((await ask(functions, question)).status, 401);
    const exported = await ask(
      functions,
      `bulwark-audit/export?organization_id=${organization}`,
      admin,
    );
    assert.equal(exported.status, 200, exported.body);
    const foreign = `bulwark-audit/export?organization_id=${organization}`;
    assert.equal((await ask(functions, foreign, stranger)).status, 403);
    assert.equal((await ask(functions, "bulwark-audit/nothing", admin)).status, 404);
    assert.equal((await ask(functions, "bulwark-mfa", admin)).status, 404);
  });
  assert.deepEqual(missed, []);
});
