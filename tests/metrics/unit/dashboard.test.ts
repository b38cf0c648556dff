/** The dashboard is one that Grafana imports: ids, references and places are as they must be. */
import assert from "node:assert/strict";

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { h: number; w: number; x: number; y: number };
  datasource?: { type: string; uid: string };
  fieldConfig?: { defaults: { unit?: string; mappings?: { type: string; options: object }[] } };
  targets?: { refId: string; expr: string; datasource: { uid: string } }[];
}

const dashboard = JSON.parse(
  await Deno.readTextFile(new URL("../../../deploy/grafana/bulwark.json", import.meta.url)),
);
const panels: Panel[] = dashboard.panels;

Deno.test("MET-U50: every panel has its own id, a title, and a type that Grafana has built in", () => {
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { id, type, title } of panels) {
    assert.ok(Number.isInteger(id) && id > 0 && title, title);
    assert.ok(["row", "stat", "timeseries"].includes(type), `${title}: ${type}`);
  }
  assert.ok(dashboard.schemaVersion >= 36 && dashboard.uid === "bulwark" && dashboard.title);
});

Deno.test("MET-U51: no panel lies on another, or outside of the 24 columns", () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos: { h, w, x, y } } of panels) {
    assert.ok(x >= 0 && w > 0 && h > 0 && x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const place = `${column} ${line}`;
        assert.equal(taken.get(place), undefined, `${title} lies on ${taken.get(place)}`);
        taken.set(place, title);
      }
    }
  }
});

Deno.test("MET-U52: every query goes to the chosen source and jobs, and has a letter of its own", () => {
  const variables: { name: string }[] = dashboard.templating.list;
  assert.deepEqual(variables.map(({ name }) => name), ["datasource", "job"]);
  for (const { title, type, targets = [], datasource } of panels) {
    if (type === "row") continue;
    assert.ok(targets.length > 0, title);
    assert.equal(datasource?.uid, "${datasource}", title);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    for (const { expr, refId, datasource } of targets) {
      assert.match(refId, /^[A-Z]$/);
      assert.equal(datasource.uid, "${datasource}", title);
      assert.ok(expr.includes('job=~"$job"'), expr);
    }
  }
});

Deno.test("MET-U53: units are Grafana's, and mapped values have a text", () => {
  for (const { title, fieldConfig } of panels) {
    const { unit, mappings = [] } = fieldConfig?.defaults ?? {};
    if (unit) assert.match(unit, /^(none|s|percentunit|reqps|short|ops)$/, title);
    for (const { type, options } of mappings) {
      assert.equal(type, "value");
      assert.ok(Object.values(options).every(({ text }) => text), title);
    }
  }
});
