import { Dialog } from "@base-ui/react/dialog";
import type { BulwarkError } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect, useSyncExternalStore } from "react";
import { browserName } from "../account/browser_name.ts";
import { useText } from "../blocks/provider.tsx";
import { bulwark, known } from "../connection.ts";
import { signInAgain, signOut } from "../session.ts";
import { presentDevice, trustDevice } from "../trusted_device.ts";
import { Field, Problem } from "../ui/parts.tsx";
import { MfaChallenge } from "./challenge.tsx";

/** Covers the screen after a session has ended, until the same person has signed in again. */
export function SignInAgain() {
  const email = useSyncExternalStore(signInAgain.subscribe, signInAgain.email);
  return (
    <Dialog.Root open={email !== null} disablePointerDismissal>
      <Dialog.Portal>
        <Dialog.Backdrop className="cover" />
        <Dialog.Popup className="dialog z-40">
          <Dialog.Title className="text-lg font-semibold">Your session has ended</Dialog.Title>
          <Dialog.Description className="text-quiet">
            Sign in again as {email}. Your input is kept.
          </Dialog.Description>
          {email && <Steps email={email} />}
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

/** The password, and a second factor if the account has one. */
function Steps({ email }: { email: string }) {
  const t = useText();
  useEffect(() => {
    // Escape would close the dialog below, with the input.
    const keep = (event: KeyboardEvent) => {
      if (event.key === "Escape") event.stopImmediatePropagation();
    };
    addEventListener("keydown", keep, true);
    return () => removeEventListener("keydown", keep, true);
  }, []);
  // Past the cache, so that the form below stays as it is.
  const signIn = useMutation<{ user: string; isIn: boolean }, BulwarkError, string>({
    mutationFn: async (password) => {
      const { user } = await bulwark.signIn({ email, password });
      const { mfa } = await bulwark.whoami();
      const isIn = !mfa.enrolled || mfa.satisfied || await presentDevice(user.id);
      return { user: user.id, isIn };
    },
    onSuccess: ({ isIn }) => isIn && enter(),
  });
  const enter = () => {
    signInAgain.end();
    void known.invalidateQueries();
  };
  const verified = async (trusting: boolean) => {
    const name = browserName(navigator.userAgent, t);
    // The person is in even if the browser cannot be trusted.
    if (trusting && signIn.data) await trustDevice(signIn.data.user, name).catch(() => {});
    enter();
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    signIn.mutate(String(new FormData(event.currentTarget).get("password")));
  };
  const leave = (
    <button type="button" className="link" onClick={() => void signOut()}>Sign out</button>
  );
  if (signIn.data && !signIn.data.isIn) {
    return <MfaChallenge onVerified={(trusting) => void verified(trusting)}>{leave}</MfaChallenge>;
  }
  return (
    <form onSubmit={submit} className="grid gap-4">
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        autoFocus
      />
      <Problem error={signIn.error} />
      <div className="flex items-center justify-between">
        {leave}
        <button type="submit" className="button primary" disabled={signIn.isPending}>
          Sign in
        </button>
      </div>
    </form>
  );
}
