import { useMutation } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { auth, known, queries } from "../connection.ts";
import { trustDevice } from "../trusted_device.ts";
import { Field, Problem } from "../ui/parts.tsx";
import { Frame } from "./frame.tsx";

export function SecondFactor() {
  const { to } = useSearch({ from: "/second-factor" });
  const router = useRouter();
  const [byBackupCode, setByBackupCode] = useState(false);
  const [trusting, setTrusting] = useState(false);
  const enter = async () => {
    const { user } = await known.fetchQuery({ ...queries.whoami(), staleTime: 0 });
    // The person is in even if the browser cannot be trusted.
    if (trusting) await trustDevice(user.id).catch(() => {});
    router.history.push(to ?? "/");
  };
  const verify = useMutation({ ...queries.mfa.verify(), onSuccess: enter });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    verify.mutate([String(new FormData(event.currentTarget).get("code")).trim()]);
  };
  return (
    <Frame
      title="Second factor"
      about={byBackupCode
        ? "Each backup code works once."
        : "Your authenticator app shows a code of six digits."}
    >
      <form onSubmit={submit} className="grid gap-4">
        <Field
          key={String(byBackupCode)}
          label={byBackupCode ? "Backup code" : "Code"}
          name="code"
          inputMode={byBackupCode ? "text" : "numeric"}
          autoComplete="one-time-code"
          required
          autoFocus
        />
        <label className="flex items-center gap-2">
          <input
            type="checkbox"
            name="trust"
            checked={trusting}
            onChange={({ target }) => setTrusting(target.checked)}
            className="size-4 accent-accent"
          />
          Trust this browser
        </label>
        <Problem error={verify.error} />
        <button type="submit" className="button primary" disabled={verify.isPending}>Verify</button>
      </form>
      <div className="flex justify-between">
        <button
          type="button"
          className="link"
          onClick={() => {
            setByBackupCode(!byBackupCode);
            verify.reset();
          }}
        >
          {byBackupCode ? "Use the authenticator app" : "Use a backup code"}
        </button>
        <button type="button" className="link" onClick={() => auth.signOut()}>
          Sign out
        </button>
      </div>
      {byBackupCode && (
        <p className="text-xs text-quiet">
          Phone and codes are lost? An administrator of your organization can reset your second
          factor.
        </p>
      )}
    </Frame>
  );
}
