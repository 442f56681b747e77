var web=document.getElementById("web");
var on=setTimeout(function(){location.replace(web.href)},1800);
function stay(){clearTimeout(on)}
document.addEventListener("visibilitychange",function(){if(document.hidden)stay()});
addEventListener("pagehide",stay);
document.getElementById("app").addEventListener("click",stay);
location.href=document.getElementById("app").href;
