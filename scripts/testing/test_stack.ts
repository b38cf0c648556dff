import { Failure } from "../stack/failure.ts";
import { stackPaths } from "../stack/paths.ts";
import { makeScratchFolder } from "../stack/scratch.ts";
import { loadSecrets } from "../stack/secrets.ts";
import { startProgram } from "./program.ts";

/** A whole stack in a process of its own, in a temporary folder and on free ports. */
export interface TestStack {
  /** What end-to-end tests find in their environment. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

/** Starts `npm start`'s own program and waits until it serves. */
export async function startTestStack(): Promise<TestStack> {
  const scratch = await makeScratchFolder("e2e");
  const folder = `${scratch.path}/stack`;
  const program = startProgram({ folder });
  const stop = async () => {
    await program.stop();
    await scratch.remove();
  };
  const state = await program.ready();
  if (!state) {
    const output = await program.output();
    await stop();
    throw new Failure("STACK_FAILED", `Cannot start the test stack: ${output.trim()}`);
  }
  const secrets = await loadSecrets(stackPaths(folder).secrets);
  const database = (role: string) =>
    `postgresql://${role}:${secrets.databasePassword}@127.0.0.1:${state.databasePort}/postgres`;
  const env = {
    BULWARK_TEST_URL: state.url,
    BULWARK_TEST_PUBLISHABLE_KEY: secrets.publishableKey,
    BULWARK_TEST_SECRET_KEY: secrets.secretKey,
    BULWARK_TEST_JWT_SECRET: secrets.jwtSecret,
    BULWARK_TEST_SCHEDULER_SECRET: secrets.schedulerSecret,
    BULWARK_TEST_METRICS_TOKEN: secrets.metricsToken,
    BULWARK_TEST_AUDIT_SIGNING_KEYS: secrets.auditSigningKeys,
    BULWARK_TEST_ENCRYPTION_KEYS: secrets.encryptionKeys,
    BULWARK_TEST_SCANNER_PRIVATE_KEY: secrets.scannerPrivateKey,
    BULWARK_TEST_DEMO_PASSWORD: secrets.demoPassword,
    BULWARK_TEST_DB_URL: database("postgres"),
    BULWARK_TEST_ADMIN_DB_URL: database("supabase_admin"),
    BULWARK_TEST_AUTHENTICATOR_DB_URL: database("authenticator"),
  };
  return { env, stop };
}
