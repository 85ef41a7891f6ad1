package sign

// atoship puts the HMAC-SHA256 of the body into <Prefix>-Signature, as
// "sha256=" and lowercase hex. The key is the secret string in UTF-8, a
// whsec_ included. The sender sets <Prefix>-Event-Id itself.
type atoship struct{}

func (atoship) Name() string { return "atoship" }

func (atoship) Traits(o Options) Traits { return atoship{}.layout(o).traits() }

func (atoship) NewSigner(secrets []Secret, o Options) (Signer, error) {
	return atoship{}.layout(o).signer(secrets)
}

func (atoship) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	return atoship{}.layout(o).verifier(secrets, o)
}

func (atoship) layout(o Options) *bodyLayout {
	return &bodyLayout{scheme: "atoship", signature: o.own("Signature"), id: o.own("Event-Id")}
}
