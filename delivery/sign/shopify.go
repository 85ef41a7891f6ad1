package sign

// shopify signs as Shopify's webhooks do: X-Shopify-Hmac-Sha256 is the
// HMAC-SHA256 of the body in base64, X-Shopify-Webhook-Id the event id and
// X-Shopify-Topic the event type, unless the endpoint sets that header
// itself. Shopify's own library also wants X-Shopify-Shop-Domain and
// X-Shopify-API-Version, which only the endpoint's headers can give.
//
// https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
type shopify struct{}

var shopifyLayout = &bodyLayout{
	scheme:    "shopify",
	signature: "X-Shopify-Hmac-Sha256",
	id:        "X-Shopify-Webhook-Id",
	event:     "X-Shopify-Topic",
	setsID:    true,
	base64:    true,
}

func (shopify) Name() string { return "shopify" }

func (shopify) Traits(Options) Traits { return shopifyLayout.traits() }

func (shopify) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	return shopifyLayout.signer(secrets)
}

func (shopify) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	return shopifyLayout.verifier(secrets, o)
}
