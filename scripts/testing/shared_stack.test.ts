import assert from "node:assert/strict";
import { sharedStack } from "./shared_stack.ts";
import type { TestStacks } from "./test_stack.ts";

Deno.test("a stack is shared until a test fails on it, and stopped after its last use", async () => {
  const running = new Set<string>();
  let started = 0;
  const stacks: TestStacks = {
    start() {
      const name = `stack ${++started}`;
      running.add(name);
      const stop = () => Promise.resolve(void running.delete(name));
      return Promise.resolve({ env: { name }, stop });
    },
    prepared: () => Promise.resolve(""),
    stop: () => Promise.resolve(),
  };
  const onShared = sharedStack(stacks, [], 5);
  const use = async (failures: string[]) => {
    const seen: string[] = [];
    await onShared((env) => {
      seen.push(...Object.values(env), ...running);
      return Promise.resolve({ passed: 1, failures });
    });
    return seen;
  };
  assert.deepEqual(await use([]), ["stack 1", "stack 1"]);
  assert.deepEqual(await use(["wrong"]), ["stack 1", "stack 1"]);
  assert.deepEqual(await use([]), ["stack 2", "stack 2"]);
  await assert.rejects(onShared(() => Promise.reject(new Error("no result"))), /no result/);
  assert.deepEqual(await use([]), ["stack 3", "stack 3"]);
  assert.deepEqual([...running], []);
});
