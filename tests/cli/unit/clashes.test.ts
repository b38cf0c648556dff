import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileClashes, hints } from "../../../cli/clashes.ts";
import { contentsFor } from "../../../cli/contents.ts";
import type { Lock } from "../../../cli/lock.ts";
import { openProject } from "../../../cli/project.ts";

const contents = contentsFor([]);
const config = "supabase/config.toml";

/** The clashes of a project with these files, as lines. */
function clashesOf(files: Record<string, string>, lock: Lock | null = null): string[] {
  return inProject(
    files,
    (project) =>
      fileClashes(project, contents, lock).map(({ where, problem }) => `${where}: ${problem}`),
  );
}

function inProject<T>(
  files: Record<string, string>,
  task: (project: ReturnType<typeof openProject>) => T,
): T {
  const root = Deno.makeTempDirSync();
  try {
    for (const [path, text] of Object.entries({ [config]: "", ...files })) {
      Deno.mkdirSync(dirname(join(root, path)), { recursive: true });
      Deno.writeTextFileSync(join(root, path), text);
    }
    return task(openProject(root));
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

Deno.test("a project with schemas, functions and tables of its own has no clash", () => {
  assert.deepEqual(
    clashesOf({
      [config]: '[db.migrations]\nschema_paths = ["./schemas/*.sql"]\n[functions.rbac]\n',
      "supabase/migrations/1_a.sql": "create schema private; create table public.bulwark (id int);",
      "supabase/migrations/2_b.sql":
        "-- create schema bulwark;\n/* create role api_key */ select 1;",
      "supabase/schemas/a.sql": "create schema bulwark_extra;",
      "supabase/functions/rbac/index.ts": "",
      "supabase/functions/_shared/cors.ts": "",
    }),
    [],
  );
});

Deno.test("each schema and role of theirs is named with its file", () => {
  assert.deepEqual(
    clashesOf({
      [config]: '[db.migrations]\nschema_paths = ["./schemas/**/*.sql"]\n',
      "supabase/migrations/1_a.sql": 'CREATE SCHEMA IF NOT EXISTS\n "bulwark" authorization x;',
      "supabase/migrations/2_b.sql": "do $$ begin create role api_key; end $$;",
      "supabase/schemas/deep/a.sql": "create schema bulwark_private;",
    }).sort(),
    [
      "supabase/migrations/1_a.sql: creates schema bulwark",
      "supabase/migrations/2_b.sql: creates role api_key",
      "supabase/schemas/deep/a.sql: creates schema bulwark_private",
    ],
  );
});

Deno.test("what a later migration drops is no clash any more", () => {
  assert.deepEqual(
    clashesOf({
      "supabase/migrations/1_a.sql": "create schema bulwark; create role api_key;",
      "supabase/migrations/2_b.sql":
        "drop schema other, bulwark cascade; drop role if exists api_key;",
    }),
    [],
  );
});

Deno.test("functions in the places of ours are named, unless they are the same", () => {
  const path = "supabase/functions/bulwark-rbac/index.ts";
  const shared = "supabase/functions/_bulwark/foundation/env.ts";
  assert.deepEqual(clashesOf({ [path]: "theirs", [shared]: "theirs" }), [
    "supabase/functions/_bulwark/foundation: exists and is not Bulwark's: rename your function",
    "supabase/functions/bulwark-rbac: exists and is not Bulwark's: rename your function",
  ]);
  assert.deepEqual(clashesOf({ [path]: contents.functions.get(path) ?? "" }), []);
});

Deno.test("sections that would not fit are named", () => {
  assert.deepEqual(
    clashesOf({ [config]: "[functions.bulwark-rbac]\nverify_jwt = true\n" }),
    ["supabase/config.toml: [functions.bulwark-rbac] exists and does not have verify_jwt = false"],
  );
});

Deno.test("a declared schema is to begin with Bulwark's migrations", () => {
  const hintsFor = (paths: string) =>
    inProject(
      { [config]: `[db.migrations]\nschema_paths = ${paths}\n` },
      (project) => hints(project, null).join("\n"),
    );
  assert.match(hintsFor('["./schemas/*.sql"]'), /"\.\/migrations\/\*_bulwark_\*\.sql" first/);
  assert.equal(hintsFor('["./migrations/*_bulwark_*.sql", "./schemas/*.sql"]'), "");
});

Deno.test("a hook of theirs is kept, and how to chain it is said", () => {
  const lines = inProject({
    [config]: "[auth.hook.custom_access_token]\nenabled = true\n" +
      'uri = "pg-functions://postgres/public/my_hook"\n[remotes.prod.api]\nschemas = ["public"]\n',
  }, (project) => hints(project, null));
  assert.match(lines.join("\n"), /is yours and is not changed[\s\S]*'"public\.my_hook"'/);
  assert.match(lines.join("\n"), /Add "bulwark" to schemas in \[remotes\.prod\.api\]/);
});
