import { BulwarkError } from "@bulwark/client";
import { type ErrorComponentProps, useRouter } from "@tanstack/react-router";
import { Problem, useTitle } from "./ui/parts.tsx";

/** A screen that could not be loaded. */
export function Failed({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  useTitle("Problem");
  const again = () => {
    reset();
    void router.invalidate();
  };
  return (
    <main className="mx-auto grid max-w-md gap-4 px-4 py-24">
      <h1 className="text-xl font-semibold">This did not load</h1>
      {error instanceof BulwarkError
        ? <Problem error={error} />
        : <p role="alert" className="text-bad">A part of the console could not be loaded.</p>}
      <button type="button" className="button primary justify-self-start" onClick={again}>
        Try again
      </button>
    </main>
  );
}

/** An address without a screen. */
export function Missing() {
  useTitle("Not found");
  return (
    <main className="mx-auto grid max-w-md gap-4 px-4 py-24">
      <h1 className="text-xl font-semibold">There is nothing here</h1>
      <p className="text-quiet">The address is wrong, or you may not see what it leads to.</p>
      <a href="#/" className="button justify-self-start">To the start</a>
    </main>
  );
}
