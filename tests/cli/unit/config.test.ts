import assert from "node:assert/strict";
import {
  addSections,
  configValue,
  exposeSchema,
  hideSchema,
  removeSections,
  sectionsFor,
} from "../../../cli/config.ts";

const sections = sectionsFor(["bulwark-rbac", "bulwark-audit"]);
const names = sections.map(({ name }) => name);

const lists: Record<string, [string, string]> = {
  "on one line": [
    'schemas = ["public", "graphql_public"] # ours',
    'schemas = ["public", "graphql_public", "bulwark"] # ours',
  ],
  "on many lines with a comment": [
    'schemas = [\n  "public", # theirs\n  "app" # and this\n]',
    'schemas = [\n  "public", # theirs\n  "app",\n  "bulwark" # and this\n]',
  ],
  "with a comma at its end": [
    'schemas = [\n  "public",\n]',
    'schemas = [\n  "public",\n  "bulwark",\n]',
  ],
  "empty": ["schemas = []", 'schemas = ["bulwark"]'],
};

for (const [name, [before, after]] of Object.entries(lists)) {
  Deno.test(`exposeSchema() extends a list ${name}, and hideSchema() takes it back`, () => {
    const text = `# Mine\n[api]\nport = 1 # keep\n${before}\n\n[db]\nport = 2\n`;
    const exposed = exposeSchema(text, "bulwark");
    assert.equal(exposed, text.replace(before, after));
    assert.equal(exposeSchema(exposed, "bulwark"), exposed);
    assert.equal(hideSchema(exposed, "bulwark", "extended"), text);
  });
}

Deno.test("exposeSchema() adds the list where there is none, and hideSchema() removes it", () => {
  for (const text of ["[api] # on\nport = 1\n\n[db]\nport = 2\n", "[db]\nport = 2\n"]) {
    const exposed = exposeSchema(text, "bulwark");
    assert.deepEqual(configValue(exposed, "api.schemas"), ["public", "graphql_public", "bulwark"]);
    assert.equal(configValue(hideSchema(exposed, "bulwark", "added"), "api.schemas"), undefined);
  }
});

Deno.test("hideSchema() leaves no empty table behind", () => {
  for (const text of ["", 'project_id = "x"\n']) {
    assert.equal(hideSchema(exposeSchema(text, "bulwark"), "bulwark", "added").trim(), text.trim());
  }
});

Deno.test("a form that cannot be extended is refused with the form that can", () => {
  const refused = (change: () => unknown, message: RegExp) =>
    assert.throws(change, { code: "CLI_CONFIG_NOT_EDITABLE", message });
  for (const text of ["api = { port = 1 }\n", "api.port = 1\n", '[api]\nschemas = "env(S)"\n']) {
    refused(() => exposeSchema(text, "bulwark"), /the table \[api\] .* and schemas as a list$/);
  }
  refused(() => addSections("functions = {}\n", sections), /the table \[functions\] with a header/);
  refused(() => addSections("[auth]\nhook = {}\n", sections), /the table \[auth\.hook\] with/);
});

Deno.test("text that is no TOML is refused with its line", () => {
  assert.throws(() => configValue('a = 1\nb = "c\n', "a"), {
    code: "CLI_INVALID_CONFIG",
    message: /^Cannot read supabase\/config\.toml:2: /,
  });
});

Deno.test("exposeSchema() reads dotted keys and inline tables, quotes and line ends of any kind", () => {
  const forms = [
    'api.schemas = ["public"]\n',
    'api = { schemas = ["public"], port = 1 }\n',
    "[ \"api\" ]\r\nschemas = ['public']\r\n",
  ];
  for (const text of forms) {
    const exposed = exposeSchema(text, "bulwark");
    assert.deepEqual(configValue(exposed, "api.schemas"), ["public", "bulwark"]);
    assert.equal(hideSchema(exposed, "bulwark", "extended"), text);
  }
});

Deno.test("addSections() appends what is missing, and removeSections() leaves the text as it was", () => {
  for (const end of ["\n", "\r\n"]) {
    const text = ["# top", "[api]", "port = 1", "", "[x]  # y", 'a = "[functions.z]"', ""].join(
      end,
    );
    const added = addSections(text, sections);
    assert.ok(added.startsWith(text));
    assert.equal(configValue(added, "functions.bulwark-audit.verify_jwt"), false);
    assert.equal(addSections(added, sections), added);
    assert.equal(removeSections(added, names), text);
  }
});

Deno.test("addSections() leaves a hook that is there, and tables written after it stay", () => {
  const text = '[auth.hook.custom_access_token]\nenabled = true\nuri = "theirs"\n';
  const added = addSections(text, sections);
  assert.equal(configValue(added, "auth.hook.custom_access_token.uri"), "theirs");
  const later = `${added}\n# Theirs, later.\n[functions.mine]\nverify_jwt = true\n`;
  const removed = removeSections(later, names.slice(1));
  assert.equal(removed, `${text}\n# Theirs, later.\n[functions.mine]\nverify_jwt = true\n`);
});
