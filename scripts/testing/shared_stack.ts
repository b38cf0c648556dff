import type { TestResult } from "./result.ts";
import type { TestStack, TestStacks } from "./test_stack.ts";

/**
 * Test files that share a stack, one after the other in this order, which saves its start. They
 * make people and organizations of their own, and leave nothing that a later file would notice. The
 * first ones meet the limits that others lift.
 */
export const sharing = [
  ...["api_keys/client", "foundation/browser", "rbac/function", "rbac/rbac"],
  ...["mfa/sessions", "mfa/races", "mfa/locks", "mfa/page", "encryption/keys", "audit/tail"],
  ...["compliance/controls", "audit/function", "client/react_query", "compliance/races"],
  ...["compliance/report", "mfa/organizations", "mfa/mfa"],
  ...[
    "webhooks/preview",
    "webhooks/locks",
    "webhooks/fairness",
    "webhooks/webhooks",
    "webhooks/workers",
  ],
].map((name) => `tests/${name}.test.ts`);

/**
 * One stack for so many uses, one at a time. After a use in which a test failed the next one gets
 * another stack, so that no failure has a second one.
 */
export function sharedStack(stacks: TestStacks, options: string[], uses: number) {
  let kept: TestStack | undefined;
  let left = uses;
  return async (use: (env: TestStack["env"]) => Promise<TestResult>): Promise<TestResult> => {
    const stack = kept ?? await stacks.start(options);
    kept = undefined;
    left--;
    let result: TestResult | undefined;
    try {
      return result = await use(stack.env);
    } finally {
      if (left > 0 && result?.failures.length === 0) kept = stack;
      else await stack.stop();
    }
  };
}
