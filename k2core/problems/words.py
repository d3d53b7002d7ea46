"""The closed sets of words that problems are made of: short, frequent, learnable."""


def _list(words: str) -> tuple[str, ...]:
    """Words in order, each once."""
    return tuple(dict.fromkeys(words.split()))


PEOPLE = _list(
    "ana bob tom eva max lea sam kim dan ivy ray zoe leo mia joe amy ben sue jim pat "
    "carl rosa paul lisa mark nina john emma luke sara"
)
ITEMS = _list(
    "apple bread table chair water paper glass phone light stone paint metal plant house "
    "clock horse train river music board shirt brush knife wheel"
)
TEAMS = _list("red blue green white black gold north south east west sales data web art law lab")
WORDS = _list(
    "time year people way day man thing world life hand part child place work week case point "
    "number group problem fact river music book water field history power line end member city "
    "name state system form order moon language theory country law war king land sea island town "
    "north south east west light sound color earth star sun plant animal bird fish horse house "
    "road bridge train ship army game team song film story letter word page paper stone metal gold "
    "silver iron wood fire wind rain snow summer winter"
)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six")
TOOL_WORDS = _list(
    "get read load find query check pull tell view give list see take open say ask look search "
    "call run do use make pick need call_for look_up find_out ask_for read_out"
)
ARGUMENT_WORDS = _list(
    "id name person item word text user record row entry label title line node unit part value "
    "input data field what who subject object target thing x y a b c p q r s t u v"
)
