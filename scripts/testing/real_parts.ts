/** A real program that the test stack can run in the place of a part of Lite. */
export interface RealPart {
  /** Its tests are in `tests/<noun>`. */
  noun: string;
  /** The environment variable that names the program. */
  variable: string;
  /** The option of `npm start` that takes it. */
  option: string;
  /** Tests of other nouns, which pass with Lite and must pass with it, too. */
  shared: string[];
}

export const realParts: RealPart[] = [
  {
    noun: "real_auth",
    variable: "SUPABASE_AUTH_BIN",
    option: "--auth-bin",
    shared: [
      "tests/audit/auth.test.ts",
      "tests/foundation/sessions.test.ts",
      "tests/mfa/mfa.test.ts",
      "tests/mfa/organizations.test.ts",
      "tests/mfa/page.test.ts",
      "tests/mfa/sessions.test.ts",
      "tests/rate_limits/logins.test.ts",
      "tests/rbac/rbac.test.ts",
    ],
  },
  {
    noun: "real_postgrest",
    variable: "POSTGREST_BIN",
    option: "--postgrest-bin",
    shared: [
      "tests/api_keys/data_api.test.ts",
      "tests/api_keys/header.test.ts",
      "tests/audit/types.test.ts",
      "tests/client/calls.test.ts",
      "tests/foundation/hostile_input.test.ts",
      "tests/foundation/sessions.test.ts",
      "tests/rate_limits/data_api.test.ts",
      "tests/rbac/rbac.test.ts",
    ],
  },
];
