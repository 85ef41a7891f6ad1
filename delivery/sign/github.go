package sign

// github signs as GitHub's webhooks do: X-Hub-Signature-256 is what atoship
// sends under another name, X-GitHub-Delivery is the event id and
// X-GitHub-Event the event type, unless the endpoint sets that header itself.
//
// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
type github struct{}

var githubLayout = &bodyLayout{
	scheme:    "github",
	signature: "X-Hub-Signature-256",
	id:        "X-Github-Delivery",
	event:     "X-Github-Event",
	setsID:    true,
}

func (github) Name() string { return "github" }

func (github) Traits(Options) Traits { return githubLayout.traits() }

func (github) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	return githubLayout.signer(secrets)
}

func (github) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	return githubLayout.verifier(secrets, o)
}
