import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { inRepository } from "../../stack/paths.ts";
import { builtRegistry } from "./mod.ts";
import { readStyles } from "./styles.ts";

const { index, items } = await builtRegistry();

Deno.test("each item of the registry holds every file that its files import", () => {
  assert.ok(items.size > 0);
  for (const [name, { files }] of items) {
    const targets = new Set(files.map(({ target }) => target.replace(/\.tsx?$/, "")));
    for (const { target, content } of files) {
      for (const [, path = ""] of content.matchAll(/(?:from |import\()"(\.[^"]*)"/g)) {
        assert.ok(targets.has(join(dirname(target), path)), `${name}: ${target} imports ${path}`);
      }
    }
  }
});

Deno.test("the list of the registry has the files of each item, without their text", () => {
  const listed = (index as { items: { name: string; files: object[] }[] }).items;
  assert.deepEqual(listed.map(({ name }) => name), [...items.keys()]);
  assert.ok(listed.every(({ files }) => files.every((file) => !("content" in file))));
});

Deno.test("an item asks npm for no package but those that the repository has tried", async () => {
  const { devDependencies } = JSON.parse(await Deno.readTextFile(inRepository("package.json")));
  for (const dependency of [...items.values()].flatMap(({ dependencies }) => dependencies)) {
    const [, name = "", version] = /^(@?[^@]+)@\^(.+)$/.exec(dependency) ?? [];
    assert.equal(version, devDependencies[name]);
    assert.doesNotMatch(name, /bulwark|router/);
  }
});

Deno.test("classes have a prefix and colours the names of shadcn", async () => {
  const { coloured, prefixed } = await readStyles();
  const changed = (classes: string) => prefixed(coloured(classes));
  assert.equal(changed("button plain h-7"), "bulwark-button bulwark-plain h-7");
  assert.equal(changed("hover:bg-hover text-on-accent"), "hover:bg-muted text-primary-foreground");
  assert.equal(changed("border-b border-line-strong"), "border-b border-input");
  assert.equal(changed("bg-accent/90 accent-accent"), "bg-primary/90 accent-primary");
  assert.equal(changed("text-good-soft itemize"), "text-good-soft itemize");
});
