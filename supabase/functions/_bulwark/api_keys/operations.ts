/** The operations of the function `bulwark-api-keys`. */
import { z } from "zod";
import { operation } from "../foundation/operation.ts";

export const operations = {
  exchange: operation({
    method: "POST",
    path: "/bulwark-api-keys/token",
    summary: "Exchanges an API key for a token of five minutes for the Data API",
    auth: ["api_key"],
    // The key's own limit, or that of the address if there is no key.
    rule: null,
    raw: true,
    output: () =>
      z.object({
        access_token: z.string(),
        token_type: z.literal("bearer"),
        expires_in: z.int(),
      }),
    errors: ["API_KEY_INVALID"],
  }),
  report: operation({
    method: "POST",
    path: "/bulwark-api-keys/report",
    summary: "Takes reports of leaked keys in the form of GitHub's secret scanning",
    auth: ["scanner_signature"],
    rule: null,
    raw: true,
    input: z.array(z.object({
      token: z.string(),
      type: z.string().optional(),
      url: z.string().nullable().optional(),
      source: z.string().nullable().optional(),
    })),
    output: () => z.array(z.never()),
    errors: ["API_KEY_INVALID_REPORT"],
  }),
};
