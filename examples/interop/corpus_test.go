package interop_test

import "strings"

// accepted are `data` values that ingest must take, written as publishers may write them: each looks different after
// JSON.stringify(JSON.parse(…)), or nearly so.
var accepted = []struct{ name, data string }{
	{"an empty object", `{}`},
	{"an empty array inside", `{"items":[]}`},
	{"an empty string and an empty key", `{"":""}`},
	{"null, true and false", `{"a":null,"b":true,"c":false}`},
	{"blanks between tokens", "{ \"a\" :\t1 ,\r \"b\" : [ 1 , 2 ] }"},
	{"letters beyond ASCII", `{"name":"Zoë Ŝmith","city":"東京","note":"\u00e9\u6771"}`},
	{"letters beyond the basic plane", `{"emoji":"📦🚚","escaped":"\ud83d\udce6"}`},
	{"escapes that JavaScript prints shorter", `{"a":"\u0041\u002f\/","b":"\u0008\u0009\u000a\u000c\u000d"}`},
	{"escapes that JavaScript keeps", `{"a":"\"\\\b\f\n\r\t\u0000\u001f"}`},
	{"characters that HTML escaping would change", `{"a":"<script>&amp;</script>","b":"\u003c\u003e\u0026"}`},
	{"line separators, which stay as they are", `{"a":"\u2028\u2029","b":"\u007f\ufeff"}`},
	{"keys like integers, which move to the front", `{"b":1,"10":2,"2":3,"a":4,"01":5,"-1":6,"4294967294":7,"4294967295":8}`},
	{"keys like integers, deeper", `{"z":{"b":{"1":1,"0":2},"0":[{"9":1,"8":2}]}}`},
	{"a key that JavaScript objects already have", `{"__proto__":{"a":1},"constructor":2,"toString":3,"hasOwnProperty":4}`},
	{"keys with escapes", `{"a\u0062":1,"\ud83d\udce6":2,"\"":3,"\\":4}`},
	{"numbers spelt the long way", `{"a":1.0,"b":1e2,"c":100E-2,"d":0.10,"e":1.50e+1}`},
	{"numbers around exponents", `{"a":1e20,"b":1e21,"c":0.000001,"d":0.0000001,"e":123456789012345680000}`},
	{"the largest exact integers", `{"a":9007199254740991,"b":-9007199254740991,"c":9007199254740992}`},
	{"the smallest and largest numbers", `{"a":5e-324,"b":1.7976931348623157e308,"c":2.2250738585072014e-308}`},
	{"decimals that binary cannot hold", `{"a":0.1,"b":0.2,"c":0.30000000000000004,"d":19.99}`},
	{"a string that looks like a number too big", `{"tracking":"9400111899223000000001"}`},
	{"nesting", `{"a":` + strings.Repeat(`[`, 40) + `1` + strings.Repeat(`]`, 40) + `}`},
	{"a value that is an array", `[1,"two",{"three":3}]`},
	{"a value that is a string", `"only text"`},
	{"a long text", `{"a":"` + strings.Repeat("long ", 4000) + `"}`},
}

// refused are `data` values that JavaScript would change in meaning, or that are no JSON.
var refused = []struct{ name, data string }{
	{"an integer that JavaScript rounds", `{"a":9007199254740993}`},
	{"a number past the largest", `{"a":1e400}`},
	{"more digits than a double has", `{"a":0.1000000000000000055511151231257827}`},
	{"a key twice", `{"a":1,"a":2}`},
	{"a key twice in another spelling", `{"a":1,"\u0061":2}`},
	{"half of a surrogate pair", `{"a":"\ud83d"}`},
	{"bytes that are not UTF-8", "{\"a\":\"\xff\"}"},
	{"a raw control character", "{\"a\":\"\x01\"}"},
	{"nesting past 64", `{"a":` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `}`},
	{"a trailing comma", `{"a":1,}`},
}
