/** The operation of the function `bulwark-login`. */
import { z } from "zod";
import { id, text } from "../foundation/input.ts";
import { operation } from "../foundation/operation.ts";

export const operations = {
  login: operation({
    method: "POST",
    path: "/bulwark-login",
    summary: "Signs in with Supabase Auth and returns its answer; attempts are limited",
    auth: [],
    rule: "api_default",
    maximumBytes: 16 * 1024,
    input: z.strictObject({
      // Auth validates the address.
      email: text.min(1).max(320),
      password: z.string().min(1).max(1024),
      captcha_token: z.string().max(8192).optional(),
    }),
    output: () =>
      z.looseObject({
        access_token: z.string(),
        refresh_token: z.string(),
        expires_in: z.int(),
        user: z.looseObject({ id, email: z.string().optional() }),
      }),
    errors: ["LOGIN_FAILED"],
  }),
};
