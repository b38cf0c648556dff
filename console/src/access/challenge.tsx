import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Field, Problem } from "../ui/parts.tsx";

/** Asks for a second factor after the password: a code of an app, or a backup code. */
export function MfaChallenge({ onVerified, children }: {
  /** The session has its second factor. Says whether the person wants to trust this browser. */
  onVerified(trusting: boolean): void;
  /** Another way, such as to sign out. */
  children?: ReactNode;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [byBackupCode, setByBackupCode] = useState(false);
  const [trusting, setTrusting] = useState(false);
  const verify = useMutation({
    ...queries.mfa.verify(),
    onSuccess: () => onVerified(trusting),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    verify.mutate([String(new FormData(event.currentTarget).get("code")).trim()]);
  };
  return (
    <>
      <p className="text-quiet">
        {byBackupCode
          ? t("Each backup code works once.")
          : t("Your authenticator app shows a code of six digits.")}
      </p>
      <form onSubmit={submit} className="grid gap-4">
        <Field
          key={String(byBackupCode)}
          label={byBackupCode ? t("Backup code") : t("Code")}
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
          {t("Trust this browser")}
        </label>
        <Problem error={verify.error} />
        <button type="submit" className="button primary" disabled={verify.isPending}>
          {t("Verify")}
        </button>
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
          {byBackupCode ? t("Use the authenticator app") : t("Use a backup code")}
        </button>
        {children}
      </div>
      {byBackupCode && (
        <p className="text-xs text-quiet">
          {t("Phone and codes are lost?")}{" "}
          {t("An administrator of your organization can reset your second factor.")}
        </p>
      )}
    </>
  );
}
