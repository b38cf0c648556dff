/**
 * Re-encrypts in its own process, which a test kills. Prints a word when the first batch is done.
 */
import { openDataKeys } from "../../supabase/functions/_bulwark/encryption/mod.ts";
import { reencryptBatch } from "../../supabase/functions/_bulwark/encryption/rotation.ts";
import { readEncryptionEnv } from "../../supabase/functions/_bulwark/encryption/env.ts";
import { serviceClient } from "../../supabase/functions/_bulwark/foundation/service.ts";

const env = readEncryptionEnv();
const service = serviceClient(env, crypto.randomUUID());
const keys = openDataKeys(service, env);
while (await reencryptBatch(service, keys, 3)) console.log("batch");
